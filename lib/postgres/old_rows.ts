import { reachParts } from "./catalog.ts";
import { type Database, sqlFailure } from "./database.ts";
import { goneSql } from "./keep_state.ts";
import type { Span } from "./part_spans.ts";
import { childrenSql } from "./parts.ts";
import { doBlock, quoteLiteral } from "./pg_text.ts";
import type { QuotedTables } from "./schema.ts";
import { CREATION_LOCK } from "./table_creation.ts";

// How rows go: a part at once, and rows of a table without parts in small bites.

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
export const PART_GONE = "HC404";

/** Milliseconds that the server may take for a drop once nobody is in its way. */
const DROP_LIMIT = 5_000;

/**
 * Detaches and drops a part, in one transaction. It fails with `PART_GONE` where another consumer
 * has done so. It waits `patience`
 * milliseconds for each lock: so long at most waits a flush that comes behind it. It holds the lock
 * of those who make parts, so that one consumer at a time does either.
 */
export function dropPartSql(tables: QuotedTables, { relation, to }: OldPart, patience: number): string {
  const { main } = tables;
  const [part, whole] = [relation, main].map(quoteLiteral);
  const drop = doBlock(`begin
  if not exists (select from pg_inherits where inhrelid = to_regclass(${part}) and inhparent = to_regclass(${whole})) then
    raise exception '% is no part any more', ${part} using errcode = '${PART_GONE}';
  end if;
  alter table ${main} detach partition ${relation};
  drop table ${relation};
  ${goneSql(tables, "rows", to)};
end`);
  return `set local synchronous_commit = on;
set local lock_timeout = ${patience};
set local statement_timeout = ${DROP_LIMIT};
select pg_advisory_xact_lock(${CREATION_LOCK});
${drop}`;
}

/** A table that holds rows itself, and the number of its blocks. */
interface Leaf {
  readonly relation: string;
  readonly blocks: number;
}

/**
 * The tables that hold the rows of a table: itself, its parts or its chunks. Not those under a view:
 * these may be anything.
 */
export async function readLeaves(database: Database, table: string): Promise<Leaf[]> {
  const rows = await database.query<{ relation: string; blocks: string }>(
    `select format('%I.%I', n.nspname, c.relname) as relation,
       ceil(pg_relation_size(c.oid)::numeric / current_setting('block_size')::numeric)::text as blocks
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and c.relkind = 'r' order by 1`,
    [await reachParts(database, table)],
  );
  return rows.map(({ relation, blocks }) => ({ relation, blocks: Number(blocks) }));
}

/** Blocks of a bite: 1 MiB, some thousands of rows. */
export const BITE = 128;

/**
 * Deletes the rows of a few blocks that are older than a moment, by an expression for their time.
 * Block by block, a pass reads a table once: no index tells the old ones. Gives their number.
 */
export async function deleteBite(
  database: Database,
  { relation, time, before }: { readonly relation: string; readonly time: string; readonly before: number },
  block: number,
): Promise<number> {
  const [row] = await database.query<{ rows: number }>(
    `with gone as (
       delete from only ${relation} where ctid >= $1::text::tid and ctid < $2::text::tid
         and ${time} < $3::text::timestamptz returning 1
     )
     select count(*)::int as rows from gone`,
    [`(${block},0)`, `(${block + BITE},0)`, new Date(before).toISOString()],
  );
  return row?.rows ?? 0;
}
