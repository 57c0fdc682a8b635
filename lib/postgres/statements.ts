import type { Metric } from "../metric.ts";
import { arrayText, quoteLiteral } from "./pg_text.ts";
import type { Source } from "./piece.ts";
import { COLUMNS } from "./schema.ts";
import type { Tables } from "./tables.ts";

/**
 * Gives partitions that have no mark yet one. $1 topic id, $2 partitions, $3 where to start, $4
 * topic. It is a statement of its own: the flush's own lock would not see a mark that the flush
 * made.
 */
export function claimSql({ offsets }: Tables): string {
  return `insert into ${offsets} (topic_id, partition, next_offset, topic)
select $1::text, w.p, w.o, $4::text from unnest($2::int[], $3::bigint[]) w(p, o)
order by w.p on conflict do nothing`;
}

/** Gives one row if any topic of the name $1 has a mark, whatever its id. */
export function knownSql({ offsets }: Tables): string {
  return `select 1 as known from ${offsets} where topic = $1::text limit 1`;
}

/** Any number will do, but every consumer must take the same. */
const FIRST_CLAIM_LOCK = 7_236_401_599;

/**
 * Gives all partitions of a topic their first marks, at once, unless a topic of this name has a
 * mark. The lock makes the look and the marks one step: of two consumers that begin together, the
 * first decides for all partitions. It waits for the disk: marks that a crash took back would be
 * made anew, further on. The messages in between would be lost.
 */
export function firstClaimScript({ offsets }: Tables, source: Source, starts: ReadonlyMap<number, number>): string {
  const [id, topic] = [quoteLiteral(source.topicId), quoteLiteral(source.topic)];
  const [partitions, places] = [starts.keys(), starts.values()].map((values) => quoteLiteral(arrayText([...values])));
  return `set local synchronous_commit = on;
select pg_advisory_xact_lock(${FIRST_CLAIM_LOCK});
insert into ${offsets} (topic_id, partition, next_offset, topic)
select ${id}, w.p, w.o, ${topic} from unnest(${partitions}::int[], ${places}::bigint[]) w(p, o)
where not exists (select from ${offsets} where topic = ${topic}) order by w.p on conflict do nothing`;
}

/** The marks of the partitions $2 of the topic $1. */
export function marksSql({ offsets }: Tables): string {
  return `select partition, next_offset as mark from ${offsets}
where topic_id = $1::text and partition = any($2::int[])`;
}

/** The number of the first parameter of `flushSql` that holds a metric's field. */
const FIRST_FIELD = 13;

/**
 * Stores a piece and moves the marks, exactly once, whoever else does the same at the same time
 * (docs/promises.md). Small changes break it: change it only with the test that interleaves two
 * waiting writers.
 *
 * Parameters: $1 topic id, $2–$4 ranges (partition, start, next), $5 topic. $6–$10 are rejected
 * messages (partition, offset, key, value, reason), $11–$12 metrics (partition, offset). One for
 * each column of the table follows. All but the topic's are arrays as text.
 *
 * `skipRepeats` leaves out metrics that the table has already, by address, time and `check_id`, if
 * an index of it tells. The text is ASCII, but for names and defaults of the database's own: an
 * encoding may lack any other character.
 */
export function flushSql(tables: Tables, skipRepeats: boolean): string {
  const { main, offsets, rejected, columns } = tables;
  const fields = columns.map((column, i) => `unnest($${FIRST_FIELD + i}::${COLUMNS[column].type}[]) as ${column}`);
  const names = columns.join(", ");
  const values = columns.map((column) => valueSql(tables, column)).join(", ");
  // A bare `on conflict do nothing` would also swallow rows that a user's own unique index refuses.
  const repeats = skipRepeats && tables.infersRepeats ? "on conflict (address, checked_at, check_id) do nothing" : "";
  return `with writer as (
  select * from unnest($2::int[], $3::bigint[], $4::bigint[]) as w(partition, start, next)
), marks as (
  -- No condition on next_offset here: it would be judged on the old snapshot.
  select o.partition, o.next_offset as mark, w.start, w.next
  from ${offsets} o join writer w on w.partition = o.partition
  where o.topic_id = $1::text order by o.partition for no key update of o
), moved as (
  -- Joins by key only, and compares only what the lock has read.
  update ${offsets} o set next_offset = m.next, moved_at = now() from marks m
  where o.topic_id = $1::text and o.partition = m.partition and m.start <= m.mark and m.mark < m.next
  returning m.partition, m.mark
), stored as (
  insert into ${main} (${names})
  select ${values}
  -- Not \`from unnest(..., ...)\`, which first writes down all rows beside the arrays.
  from (select unnest($11::int[]) as partition, unnest($12::bigint[]) as at, ${fields.join(", ")}) r
  join moved v on v.partition = r.partition where r.at >= v.mark
  ${repeats}
), rejected as (
  insert into ${rejected} (topic, topic_id, partition, "offset", key, value, reason)
  select $5::text, $1::text, r.partition, r.at, decode(r.key, 'base64'), decode(r.value, 'base64'), r.reason
  from unnest($6::int[], $7::bigint[], $8::text[], $9::text[], $10::text[])
    as r(partition, at, key, value, reason)
  join moved v on v.partition = r.partition where r.at >= v.mark
)
select partition, mark, start, next from marks order by partition`;
}

/** A metric's value. If the column refuses null and has a default, that default stands for null. */
function valueSql({ defaults }: Tables, column: keyof Metric): string {
  const standIn = defaults.get(column);
  if (standIn === undefined) return `r.${column}`;
  // The type without a length: a cast to one with a length would cut what an insert refuses.
  return `coalesce(r.${column}::${standIn.type}, (${standIn.sql})::${standIn.type})`;
}

/**
 * Moves the mark of partition $2 of topic $1 from $3 to $4, if it still stands at $3. Records the
 * reason $6 ($5 topic).
 */
export function skipSql({ offsets, rejected }: Tables): string {
  return `with moved as (
  update ${offsets} set next_offset = $4::text::bigint, moved_at = now()
  where topic_id = $1::text and partition = $2::text::int and next_offset = $3::text::bigint
  returning partition
), recorded as (
  insert into ${rejected} (topic, topic_id, partition, "offset", reason)
  select $5::text, $1::text, partition, $3::text::bigint, $6::text from moved
)
select partition from moved`;
}

/**
 * Gives one row if `skipSql` has recorded this already: $1 topic id, $2 partition, $3 from, $4 the
 * reason.
 */
export function skippedSql({ rejected }: Tables): string {
  return `select 1 as skipped from ${rejected}
where topic_id = $1::text and partition = $2::text::int and "offset" = $3::text::bigint and reason = $4::text limit 1`;
}

/**
 * Deletes the marks of topic $1. The commit waits for the disk, and so for everything that was
 * written before it: standard input cannot be read again.
 */
export function forgetSql({ offsets }: Tables): string {
  return `delete from ${offsets}
where topic_id = $1::text and set_config('synchronous_commit', 'on', true) is not null`;
}

/** True if the table can tell a check that was missed from one that was made. */
export function canHoldMissed(columns: readonly (keyof Metric)[]): boolean {
  return columns.includes("error");
}
