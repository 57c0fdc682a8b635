import { delay } from "../async/waits.ts";
import { FolderInUse } from "../config/folder_lock.ts";
import { sqlFailure } from "./database.ts";
import { type EmbeddedDatabase, openEmbedded, openExisting, QueryError, type QueryPart } from "./database/embedded.ts";
import { askHolder, isAnswering } from "./query/client.ts";
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
const RETRY_LIMIT = 30_000;

export interface AskOptions {
  /** Ends the query, which then rejects with a `QueryError`. */
  readonly signal: AbortSignal;
  /** Called once if another program holds the folder and does not answer yet. */
  onWait(): void;
  handOver(part: QueryPart): Promise<void>;
}

/**
 * As `openEmbedded`, but it waits for a while if a query holds the folder, or a program that ends.
 * A program that answers queries keeps the folder, so nobody waits for it. `onWait` is called once,
 * before the first wait. An abort of `signal` ends the waiting.
 */
export async function openAfterQueries(
  directory: string,
  { signal, onWait }: Pick<AskOptions, "signal" | "onWait">,
): Promise<EmbeddedDatabase> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(RETRY_LIMIT)]);
  for (let isFirst = true;; isFirst = false) {
    try {
      return await openEmbedded(directory);
    } catch (error) {
      if (!((error as Error).cause instanceof FolderInUse) || patience.aborted) throw error;
      if (await isAnswering(directory, patience).catch(() => false)) throw error;
    }
    if (isFirst) onWait();
    await delay(RETRY_EVERY, patience);
  }
}

/**
 * Runs statements that only read on the embedded database in `directory`, and hands over their
 * results. It asks the program that holds the folder or, if there is none, the database itself.
 * Rejects with a `QueryError` in words for a person if the query is at fault, or was ended.
 */
export async function askEmbedded(directory: string, sql: string, options: AskOptions): Promise<void> {
  const { signal, onWait, handOver } = options;
  const patience = AbortSignal.timeout(RETRY_LIMIT);
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
      await delay(RETRY_EVERY, signal);
      signal.throwIfAborted();
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

/** Characters that are shown of a long line, and how many of them stand before the place. */
const WIDTH = 80;
const BEFORE = 50;

/** PostgreSQL does not know the name of a table or view. */
const UNDEFINED_TABLE = "42P01";
/** Answers a slip in such a name, and a question that comes before the first start. */
const TABLES = "A consumer with --embedded makes its table and views here when it starts: host_metrics, " +
  "host_metrics_now, host_metrics_outages and host_metrics_uptime, or as --db-table says.";

/**
 * PostgreSQL's own words for a person, as psql prints them: the error, the line of the text with
 * the place in it, and advice.
 */
export function explainFailure(error: Error, sql: string): string {
  const fields = error as Error & Readonly<Record<string, string | undefined>>;
  const { severity = "ERROR", code, detail, position, hint = code === UNDEFINED_TABLE ? TABLES : undefined } = fields;
  return [
    `${severity}:  ${error.message}`,
    ...(position === undefined ? [] : pointAt(sql, Number(position) - 1)),
    ...(detail === undefined ? [] : [`DETAIL:  ${detail}`]),
    ...(hint === undefined ? [] : [`HINT:  ${hint}`]),
  ].join("\n");
}

/**
 * The line of a text in which character number `place` (from 0) stands, and a line with a caret
 * below.
 */
function pointAt(sql: string, place: number): string[] {
  const characters = [...sql.replaceAll(/[\t\r]/g, " ")];
  const start = characters.lastIndexOf("\n", place - 1) + 1;
  const end = characters.indexOf("\n", start);
  const line = characters.slice(start, end < 0 ? undefined : end);
  const number = characters.slice(0, start).filter((sign) => sign === "\n").length + 1;
  const from = line.length <= WIDTH ? 0 : Math.max(0, place - start - BEFORE);
  const to = Math.min(line.length, from + WIDTH);
  const left = `LINE ${number}: ${from > 0 ? "..." : ""}`;
  const shown = `${left}${line.slice(from, to).join("")}${to < line.length ? "..." : ""}`;
  return [shown, `${" ".repeat(left.length + place - start - from)}^`];
}
