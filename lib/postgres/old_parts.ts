import { pause } from "../async/retry.ts";
import { type Database, isInUse, sqlFailure } from "./database.ts";
import { unsettledSql } from "./days.ts";
import { goneSql } from "./keep_state.ts";
import type { Span } from "./part_spans.ts";
import { childrenSql } from "./parts.ts";
import { doBlock, quoteLiteral } from "./pg_text.ts";
import type { QuotedTables } from "./schema.ts";
import { CREATION_LOCK } from "./table_creation.ts";
import type { Tables } from "./tables.ts";

// The parts of a table that are too old, and how one of them goes.

/** The tables, and whether days are rolled up. */
type DayTables = QuotedTables & Pick<Tables, "hasDays">;

/** A part that is older as a whole than what is kept. */
export interface OldPart extends Span {
  /** Its name with its schema, quoted where SQL needs it. */
  readonly relation: string;
  readonly bytes: number;
}

/** The parts that end at a moment or before, the oldest first. */
export async function readOldParts(database: Database, { main }: QuotedTables, cutoff: number): Promise<OldPart[]> {
  if (!Number.isFinite(cutoff)) return [];
  const rows = await database.query<{ relation: string; from: string; to: string; bytes: string }>(
    `select format('%I.%I', n.nspname, c.name) as relation, (extract(epoch from lower) * 1000)::float8::text as from,
       (extract(epoch from upper) * 1000)::float8::text as to, pg_total_relation_size(c.part)::text as bytes
     from (${childrenSql("to_regclass($1::text)")}) c join pg_class x on x.oid = c.part
     join pg_namespace n on n.oid = x.relnamespace where c.upper <= $2::text::timestamptz order by c.upper`,
    [main, new Date(cutoff).toISOString()],
  );
  return rows.map(({ relation, from, to, bytes }) => {
    return { relation, from: Number(from), to: Number(to), bytes: Number(bytes) };
  });
}

/**
 * The span of a part. Where it has no beginning, the span begins with its first row; null: it has
 * no row.
 */
export async function boundedSpan(database: Database, { relation, from, to }: OldPart): Promise<Span | null> {
  if (Number.isFinite(from)) return { from, to };
  const [row] = await database.query<{ first: string | null }>(
    `select (extract(epoch from min(scheduled_at)) * 1000)::float8::text as first from ${relation}`,
  );
  return row?.first == null ? null : { from: Number(row.first), to };
}

/** Why nobody knows: the server has given up counting, the role may not, or the part has gone. */
const UNCOUNTED = ["57014", "42501", "42P01", "55P03"];

/** The rows of a part; null: nobody knows. */
export async function countRows(database: Database, relation: string): Promise<number | null> {
  try {
    const [row] = await database.query<{ rows: string }>(`select count(*)::text as rows from ${relation}`);
    return Number(row?.rows);
  } catch (error) {
    if (UNCOUNTED.includes(sqlFailure(error)?.code ?? "")) return null;
    throw error;
  }
}

/** The code of the failure that tells that there is no such part any more. */
const PART_GONE = "HC404";

/** The code of the failure that tells that rows came for a day of the part since it was looked at. */
const PART_NEEDED = "HC409";

/** Milliseconds that the server may take for a drop once nobody is in its way. */
const DROP_LIMIT = 5_000;

/**
 * Detaches and drops a part, in one transaction. It fails with `PART_GONE` where another consumer
 * has done so. It fails with `PART_NEEDED` where a day of the part is to be rolled up again. That
 * is asked for under the lock: nobody stores a row for the day any more. It waits `patience`
 * milliseconds for each lock: so long at most waits a flush that comes behind it. It holds the lock
 * of those who make parts: one consumer at a time does either.
 */
function dropPartSql(tables: DayTables, part: OldPart, patience: number): string {
  const { main } = tables;
  const { relation, to } = part;
  const [name, whole] = [relation, main].map(quoteLiteral);
  const check = tables.hasDays
    ? `
  if ${unsettledSql(tables, part)} then
    raise exception 'a day of % is not rolled up', ${name} using errcode = '${PART_NEEDED}';
  end if;`
    : "";
  const drop = doBlock(`begin
  if not exists (select from pg_inherits where inhrelid = to_regclass(${name}) and inhparent = to_regclass(${whole})) then
    raise exception '% is no part any more', ${name} using errcode = '${PART_GONE}';
  end if;
  alter table ${main} detach partition ${relation};${check}
  drop table ${relation};
  ${goneSql(tables, "rows", to)};
end`);
  return `set local synchronous_commit = on;
set local lock_timeout = ${patience};
set local statement_timeout = ${DROP_LIMIT};
select pg_advisory_xact_lock(${CREATION_LOCK});
${drop}`;
}

/**
 * Milliseconds that the tries to drop a part wait for its locks, one after the other. Flushes wait
 * behind each of them. All are below PostgreSQL's time limit for deadlocks.
 */
const PATIENCES = [100, 200, 400, 800];

/**
 * Drops a part, in several short tries. "gone": another consumer has done so. "needed": a day of it
 * is to be rolled up first. "busy": others use it, or `signal` has aborted. Throws any other
 * failure.
 */
export async function dropPart(
  database: Database,
  tables: DayTables,
  part: OldPart,
  signal: AbortSignal,
): Promise<"dropped" | "gone" | "needed" | "busy"> {
  for (const [attempt, patience] of PATIENCES.entries()) {
    if (attempt > 0) await pause(attempt, signal);
    if (signal.aborted) break;
    try {
      await database.script(dropPartSql(tables, part, patience));
      return "dropped";
    } catch (error) {
      const code = sqlFailure(error)?.code ?? "";
      if (code === PART_GONE) return "gone";
      if (code === PART_NEEDED) return "needed";
      if (!isInUse(error)) throw error;
    }
  }
  return "busy";
}
