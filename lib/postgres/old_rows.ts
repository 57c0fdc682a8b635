import { delay } from "../async/waits.ts";
import { reachParts } from "./catalog.ts";
import type { Database } from "./database.ts";

// How rows of a table without parts go: in small bites.

/** Rows that are too old: those of a table whose time, an expression, is before a moment. */
export interface OldRows {
  readonly table: string;
  readonly time: string;
  readonly before: number;
}

/** True for a view: the tables under it may be anything, so nothing is deleted there. */
export async function isView(database: Database, table: string): Promise<boolean> {
  const found = await database.query(
    `select from pg_class where oid = to_regclass($1::text) and relkind in ('v', 'f')`,
    [table],
  );
  return found.length > 0;
}

/** A table that holds rows itself, and the number of its blocks. */
interface Leaf {
  readonly relation: string;
  readonly blocks: number;
}

/** The tables that hold the rows of a table: itself, its parts or its chunks. */
async function readLeaves(database: Database, table: string): Promise<Leaf[]> {
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
const BITE = 128;
/** Milliseconds between two bites, at least. A pass is at work half of the time. */
const LEAST_PAUSE = 10;

/**
 * Deletes the old rows of a table, bite by bite, until `signal` aborts. Block by block, a pass reads
 * the table once: no index tells the old ones. Gives their number.
 */
export async function deleteOldRows(database: Database, rows: OldRows, signal: AbortSignal): Promise<number> {
  let gone = 0;
  for (const { relation, blocks } of await readLeaves(database, rows.table)) {
    for (let block = 0; block < blocks && !signal.aborted; block += BITE) {
      const began = performance.now();
      gone += await deleteBite(database, relation, rows, block);
      await delay(Math.max(LEAST_PAUSE, performance.now() - began), signal);
    }
  }
  return gone;
}

/** Deletes the old rows of a few blocks. Gives their number. */
async function deleteBite(
  database: Database,
  relation: string,
  { time, before }: OldRows,
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
