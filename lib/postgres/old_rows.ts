import { delay } from "../async/waits.ts";
import { reachParts } from "./catalog.ts";
import type { Database } from "./database.ts";
import type { QuotedTables } from "./schema.ts";

// How rows go that no part takes along: in small bites.

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

/** The first day (UTC) that is kept: those before it are older as a whole. */
const firstDay = (cutoff: number) => new Date(cutoff).toISOString().slice(0, 10);

/** True if days are rolled up that are older as a whole than a moment. */
export async function hasOldDays(
  database: Database,
  { daily }: Pick<QuotedTables, "daily">,
  cutoff: number,
): Promise<boolean> {
  if (!Number.isFinite(cutoff)) return false;
  const found = await database.query(`select from ${daily} where day < $1::text::date limit 1`, [firstDay(cutoff)]);
  return found.length > 0;
}

/** Deletes the days that are older as a whole than a moment. See `deleteIndexed`. */
export async function deleteOldDays(
  database: Database,
  { daily }: Pick<QuotedTables, "daily">,
  cutoff: number,
  signal: AbortSignal,
): Promise<number> {
  return await deleteIndexed(database, daily, ["day < $1::text::date", firstDay(cutoff)], signal);
}

/** Deletes evidence of checks from before a moment. See `deleteIndexed`. */
export async function deleteOldEvidence(
  database: Database,
  { evidence }: Pick<QuotedTables, "evidence">,
  cutoff: number,
  signal: AbortSignal,
): Promise<number> {
  const old = ["checked_at < $1::text::timestamptz", new Date(cutoff).toISOString()] as const;
  return await deleteIndexed(database, evidence, old, signal);
}

/** Rows in one bite where an index tells the old ones. */
const INDEXED_BITE = 2000;

/**
 * Deletes the rows for which a condition about $1 is true, bite by bite, until `signal` aborts. An
 * index tells them. Gives their number.
 */
async function deleteIndexed(
  database: Database,
  table: string,
  [condition, value]: readonly [condition: string, value: string],
  signal: AbortSignal,
): Promise<number> {
  const text = `with gone as (
    delete from ${table} where ctid = any(array(
      select ctid from ${table} where ${condition} limit ${INDEXED_BITE})) returning 1
  )
  select count(*)::int as rows from gone`;
  let gone = 0;
  while (!signal.aborted) {
    const began = performance.now();
    const [row] = await database.query<{ rows: number }>(text, [value]);
    gone += row?.rows ?? 0;
    if ((row?.rows ?? 0) === 0) break;
    await delay(Math.max(LEAST_PAUSE, performance.now() - began), signal);
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
