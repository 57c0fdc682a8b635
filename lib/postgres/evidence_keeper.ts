import { addAbortListener } from "node:events";
import { delay } from "../async/waits.ts";
import { count } from "../config/count.ts";
import { cutoffOf, type Keep, keepText } from "../config/keep.ts";
import { type Database, explain, isConnectionLoss } from "./database.ts";
import type { RetentionWork } from "./retention.ts";
import type { QuotedTables } from "./schema.ts";

/** Milliseconds between two looks. */
const INTERVAL = 3_600_000;
const RETRY_INTERVAL = 60_000;
/** Milliseconds. What stays too long is said once a day. */
const WARNING_INTERVAL = 86_400_000;
/** Rows of one statement, and milliseconds between two of them. */
const BITE = 2000;
const PAUSE = 10;

type EvidenceTable = Pick<QuotedTables, "evidence">;

/** Deletes evidence that is older than `keep`, again and again, until `signal` aborts. Never rejects. */
export async function letEvidenceGo(work: RetentionWork, tables: EvidenceTable, keep: Keep): Promise<void> {
  if (keep === "all") return;
  let toldAt = -Infinity;
  while (!work.signal.aborted) {
    let isDone = false;
    const database = work.open();
    try {
      using _listening = addAbortListener(work.signal, () => void database[Symbol.asyncDispose]());
      const gone = await deleteOldEvidence(database, tables, cutoffOf(keep, Date.now()), work.signal);
      if (gone > 0) work.tell(`${count(gone, "row")} of ${tables.evidence} deleted: ${keepText(keep)} are kept`, false);
      isDone = true;
    } catch (error) {
      // The flushes tell of a database that is away.
      const isNews = performance.now() - toldAt >= WARNING_INTERVAL;
      if (!work.signal.aborted && !isConnectionLoss(error) && isNews) {
        toldAt = performance.now();
        work.tell(`Old rows of ${tables.evidence} could not go: ${explain(error)}`, true);
      }
    } finally {
      await database[Symbol.asyncDispose]();
    }
    await delay(isDone ? INTERVAL : RETRY_INTERVAL, work.signal);
  }
}

/** Deletes the rows from before a moment, in bites, until `signal` aborts. Gives their number. */
export async function deleteOldEvidence(
  database: Database,
  { evidence }: EvidenceTable,
  before: number,
  signal: AbortSignal,
): Promise<number> {
  let gone = 0;
  while (!signal.aborted) {
    const [row] = await database.query<{ rows: number }>(
      `with gone as (
         delete from ${evidence} where ctid = any(array(
           select ctid from ${evidence} where checked_at < $1::text::timestamptz limit ${BITE})) returning 1
       )
       select count(*)::int as rows from gone`,
      [new Date(before).toISOString()],
    );
    gone += row?.rows ?? 0;
    if ((row?.rows ?? 0) < BITE) break;
    await delay(PAUSE, signal);
  }
  return gone;
}
