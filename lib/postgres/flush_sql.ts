import type { Metric } from "../metric.ts";
import { noteDaysSql } from "./days.ts";
import { type BatchSlice, joinSlices } from "./encoded_batch.ts";
import { EVIDENCE_PARAMETERS, evidenceParameters, evidenceSql } from "./evidence.ts";
import { changesSql } from "./incidents/changes_sql.ts";
import type { PlannedStatement } from "./incidents/tracker.ts";
import type { RepeatKey } from "./catalog.ts";
import { arrayText } from "./pg_text.ts";
import type { Marks } from "./marks.ts";
import type { OffsetRanges, TopicIdentity } from "./piece.ts";
import { COLUMNS } from "./schema.ts";
import type { Tables } from "./tables.ts";

/** The number of the first parameter of `flushSql` that holds a metric's field. */
const FIRST_FIELD = 15;

/** What a statement does beside storing rows, as its batch wants it. */
export interface StatementParts {
  /** Incidents begin or end. */
  readonly changesIncidents?: boolean;
  /** Metrics have evidence. */
  readonly hasEvidence?: boolean;
}

/**
 * Stores a piece and moves the marks, exactly once, whoever else does the same at the same time
 * (docs/promises.md). Small changes break it: change it only with the test that interleaves two
 * waiting writers.
 *
 * Parameters: $1 topic id, $2–$6 ranges (partition, start, next, epoch, skips), $7 topic. $8–$12
 * are rejected messages (partition, offset, key, value, reason), $13–$14 metrics (partition,
 * offset). One for each column of the table follows, and the metrics' days if days are rolled up.
 * With incidents come the statement's name, and for each range the statement that it follows. With
 * `hasEvidence` follow those of `evidenceSql`, with `changesIncidents` those of `changesSql`. All but
 * the topic's and the name are arrays as text.
 *
 * `skipRepeats` leaves out metrics that the table has already, by address, time and `check_id`, if
 * an index of it tells. Of the metrics of one due time the first real check stays: it takes the
 * place of a missed one, in the table and among the rows, and never the reverse. The text is ASCII,
 * but for names and defaults of the database's own: an encoding may lack any other character.
 */
export function flushSql(
  tables: Tables,
  skipRepeats: boolean,
  { changesIncidents = false, hasEvidence = false }: StatementParts = {},
): string {
  const { main, offsets, rejected, columns } = tables;
  const name = FIRST_FIELD + columns.length + (tables.notesDays ? 1 : 0);
  // What begins or ends by a batch follows from what the statement before it has stored, and from
  // nothing else. So this one must see that. Its snapshot is too old where it waited for the one
  // before, which ran over another connection.
  const { hasIncidents } = tables;
  const isNext = hasIncidents
    ? `m.start = m.mark and m.statement is not distinct from m.after and exists (select from ${offsets} s
      where s.topic_id = $1::text and s.partition = m.partition and s.next_offset = m.mark
        and s.statement is not distinct from m.statement)`
    : "m.start <= m.mark";
  const follows = hasIncidents
    ? {
      given: `, $${name + 1}::uuid[]`,
      as: ", after",
      read: "o.statement, w.after, ",
      set: `statement = $${name}::uuid, `,
    }
    : { given: "", as: "", read: "", set: "" };
  const fields = columns.map((column, i) => `unnest($${FIRST_FIELD + i}::${COLUMNS[column].type}[]) as ${column}`);
  const names = columns.join(", ");
  const values = columns.map((column) => valueSql(tables, column)).join(", ");
  const { repeatKey } = tables;
  const notes = tables.notesDays ? `, ${noteDaysSql(tables, `$${FIRST_FIELD + columns.length}`)}` : "";
  const next = name + (hasIncidents ? 2 : 0);
  const evidence = hasEvidence ? `, ${evidenceSql(tables, next)}` : "";
  const changes = changesIncidents ? `, ${changesSql(tables, next + (hasEvidence ? EVIDENCE_PARAMETERS : 0))}` : "";
  const sent = `select unnest($13::int[]) as partition, unnest($14::bigint[]) as at, ${fields.join(", ")}`;
  const repeats = skipRepeats && repeatKey !== null ? conflictSql(tables, repeatKey) : "";
  const rows = repeats !== "" && repeatKey !== null && tables.replacesMissed ? firstOfEach(sent, repeatKey) : sent;
  return `with writer as (
  select * from unnest($2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::int[]${follows.given})
    as w(partition, start, next, epoch, skips${follows.as})
), marks as (
  -- No condition on next_offset or skips here: it would be judged on the old snapshot.
  select o.partition, o.next_offset as mark, o.skips, ${follows.read}w.start, w.next, w.epoch, w.skips as known
  from ${offsets} o join writer w on w.partition = o.partition
  where o.topic_id = $1::text order by o.partition for no key update of o
), moved as (
  -- Joins by key only, and compares only what the lock has read.
  update ${offsets} o set ${follows.set}next_offset = m.next, epoch = m.epoch, epoch_at = m.next, moved_at = now() from marks m
  where o.topic_id = $1::text and o.partition = m.partition
    and m.skips = m.known and ${isNext} and m.mark < m.next
  returning m.partition, m.mark
), stored as (
  insert into ${main} as t (${names})
  select ${values}
  -- Not \`from unnest(..., ...)\`, which first writes down all rows beside the arrays.
  from (${rows}) r
  join moved v on v.partition = r.partition where r.at >= v.mark
  ${repeats}
), rejected as (
  insert into ${rejected} (topic, topic_id, partition, "offset", key, value, reason)
  select $7::text, $1::text, r.partition, r.at, decode(r.key, 'base64'), decode(r.value, 'base64'), r.reason
  from unnest($8::int[], $9::bigint[], $10::text[], $11::text[], $12::text[])
    as r(partition, at, key, value, reason)
  join moved v on v.partition = r.partition where r.at >= v.mark
)${notes}${evidence}${changes}
select partition, mark, ${isNext} as is_next from marks m where skips = known order by partition`;
}

/**
 * Leaves out what the table has, and lets a real check take the place of a missed one. Not a bare
 * `on conflict do nothing`: it would also swallow rows that a user's own unique index refuses.
 */
function conflictSql({ columns, replacesMissed }: Tables, repeatKey: RepeatKey): string {
  const target = `on conflict (address, ${repeatKey}, check_id)`;
  if (!replacesMissed) return `${target} do nothing`;
  const key = ["address", repeatKey, "check_id"];
  const others = columns.filter((column) => !key.includes(column)).map((column) => `${column} = excluded.${column}`);
  return `${target} do update set ${others.join(", ")}
    where t.error = 'missed' and excluded.error is distinct from 'missed'`;
}

/**
 * Of rows with one identity the first real check, else the first: a statement may not change a row
 * twice. Where the identity has a null, every row is one of its own.
 */
function firstOfEach(sent: string, repeatKey: RepeatKey): string {
  const own = (value: string) => `case when s.check_id is null or s.${repeatKey} is null then s.${value} end`;
  const identity = `s.address, s.${repeatKey}, s.check_id, ${own("partition")}, ${own("at")}`;
  return `select distinct on (${identity}) s.* from (${sent}) s
    join moved u on u.partition = s.partition where s.at >= u.mark
    order by ${identity}, s.error is not distinct from 'missed', s.partition, s.at`;
}

/** A metric's value. If the column refuses null and has a default, that default stands for null. */
function valueSql({ defaults }: Tables, column: keyof Metric): string {
  const standIn = defaults.get(column);
  if (standIn === undefined) return `r.${column}`;
  // The type without a length: a cast to one with a length would cut what an insert refuses.
  return `coalesce(r.${column}::${standIn.type}, (${standIn.sql})::${standIn.type})`;
}

/**
 * The parameters of `flushSql`, in its order, but for those of `changesSql`. `planned`: the
 * statement as one that may change incidents; null: the table has none.
 */
export function flushParameters(
  tables: Pick<Tables, "notesDays">,
  identity: TopicIdentity,
  ranges: OffsetRanges,
  slices: readonly BatchSlice[],
  marks: Pick<Marks, "skipsOf">,
  planned: Pick<PlannedStatement, "name" | "after"> | null,
): string[] {
  const writer = [...ranges];
  return [
    identity.topicId,
    arrayText(writer.map(([partition]) => partition)),
    arrayText(writer.map(([, { start }]) => start)),
    arrayText(writer.map(([, { next }]) => next)),
    arrayText(writer.map(([, { epoch }]) => epoch ?? null)),
    arrayText(writer.map(([partition]) => marks.skipsOf(identity, partition))),
    identity.topic,
    ...joinSlices(slices),
    ...(tables.notesDays ? [arrayText([...new Set(slices.flatMap(({ days }) => [...days]))])] : []),
    ...(planned === null ? [] : [
      planned.name,
      arrayText(writer.map(([partition]) => planned.after.get(partition) ?? null)),
    ]),
    ...evidenceParameters(slices),
  ];
}
