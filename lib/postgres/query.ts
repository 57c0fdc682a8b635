import { setTimeout as delay } from "node:timers/promises";
import { FolderInUse } from "../config/folder_lock.ts";
import { sqlFailure } from "./database.ts";
import { openExisting, QueryError, type QueryPart } from "./database/embedded.ts";
import { askHolder } from "./query/client.ts";
import { explainFailure } from "./query/explain.ts";
import { QUERY_LIMIT } from "./query/messages.ts";
import { splitStatements } from "./query/statements.ts";

export { QueryError } from "./database/embedded.ts";
export { ResultPrinter } from "./query/result_printer.ts";
export { serveQueries } from "./query/server.ts";
export type { QueryService } from "./query/server.ts";

/**
 * Milliseconds between two tries, and for how long it is tried. A first start takes seconds until
 * it answers.
 */
const RETRY_EVERY = 200;
const PATIENCE = 30_000;

export interface AskOptions {
  /** Ends the query, which then rejects with a `QueryError`. */
  readonly signal: AbortSignal;
  /** Called once if another program holds the folder and does not answer yet. */
  onWait(): void;
  handOver(part: QueryPart): Promise<void>;
}

/**
 * Runs statements that only read on the embedded database in `directory`, and hands over their
 * results. It asks the program that holds the folder or, if there is none, the database itself.
 * Rejects with a `QueryError` in words for a person if the query is at fault, or was ended.
 */
export async function askEmbedded(directory: string, sql: string, options: AskOptions): Promise<void> {
  const { signal, onWait, handOver } = options;
  const patience = AbortSignal.timeout(PATIENCE);
  const borrow = (signal: AbortSignal) => askWhileLent(directory, sql, signal);
  try {
    for (let isFirst = true;; isFirst = false) {
      const parts = await askHolder(directory, sql, borrow, signal);
      if (parts !== null) {
        for (const part of parts) await handOver(part);
        return;
      }
      try {
        return await askItself(directory, sql, options);
      } catch (error) {
        if (!((error as Error).cause instanceof FolderInUse) || patience.aborted) throw error;
      }
      if (isFirst) onWait();
      await delay(RETRY_EVERY, undefined, { signal });
    }
  } catch (error) {
    if (signal.aborted) throw new QueryError(`the query was ended by ${signal.reason}`);
    throw sqlFailure(error) === null ? error : new QueryError(explainFailure(error as Error, sql));
  }
}

async function askItself(directory: string, sql: string, { signal, handOver, limit }: AskItself): Promise<void> {
  await using database = await openExisting(directory);
  await database.inquire(splitStatements(sql), handOver, limit === undefined ? { signal } : { signal, limit });
}

type AskItself = Pick<AskOptions, "signal" | "handOver"> & { readonly limit?: number };

/**
 * Asks in a folder that another program has lent, and which waits for it. So everything is taken
 * before anything is handed over.
 */
async function askWhileLent(directory: string, sql: string, signal: AbortSignal): Promise<QueryPart[]> {
  const parts: QueryPart[] = [];
  const handOver = (part: QueryPart) => Promise.resolve(void parts.push(part));
  await askItself(directory, sql, { signal, handOver, limit: QUERY_LIMIT });
  return parts;
}
