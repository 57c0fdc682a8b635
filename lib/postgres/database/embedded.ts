import { setImmediate as nextTurn } from "node:timers/promises";
import { delay, unlessAborted } from "../../async/waits.ts";
import { FolderInUse, requireFree, takeFolder, unusable } from "../../config/folder_lock.ts";
import { UsageError } from "../../config/usage_error.ts";
import { type Database, type Parameter, SetupError } from "../database.ts";
import { CAN_END_THREADS, EmbeddedThread, isKeptIn } from "./embedded_thread.ts";
import type { ResultColumn } from "./inquiry.ts";

const SETTING = "--embedded";

/**
 * Opens the embedded PostgreSQL that keeps its rows in `directory`, which is made if it is missing.
 * Throws `SetupError` if another program has it open, or if PGlite is missing. Throws a
 * `UsageError` if the folder is unusable. Statements wait for one another and have no deadline.
 */
export async function openEmbedded(directory: string): Promise<EmbeddedDatabase> {
  const thread = await startThread();
  let lock: Disposable | undefined;
  try {
    lock = await take(directory);
    await thread.call("open", directory);
    return new EmbeddedDatabase(directory, thread, lock);
  } catch (error) {
    await thread.end();
    lock?.[Symbol.dispose]();
    throw unusable(SETTING, directory, error) ?? error;
  }
}

/**
 * As `openEmbedded`, but it makes nothing. A folder without a database is a `UsageError`: a query
 * has nothing to ask there.
 */
export async function openExisting(directory: string): Promise<EmbeddedDatabase> {
  if (await isKeptIn(directory)) return await openEmbedded(directory);
  // A database that is being made takes seconds.
  await asOpeningError(() => requireFree(directory));
  throw new UsageError([
    `${SETTING} is ${
      JSON.stringify(directory)
    }: no embedded database is kept there: check the path, or let a consumer with ` +
    `${SETTING} make one first`,
  ]);
}

const take = (directory: string): Promise<Disposable> => asOpeningError(() => takeFolder(SETTING, directory));

async function asOpeningError<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UsageError || (error as Error).name === "NotCapable") throw error;
    throw new SetupError((error as Error).message, { cause: error });
  }
}

/** Milliseconds between two tries to take back a lent folder, and for how long it is tried. */
const RETRY_EVERY = 50;
const RETRY_LIMIT = 3_000;

/** Tries again for a while: the borrower may be about to end. */
async function takeBack(directory: string): Promise<Disposable> {
  const patience = AbortSignal.timeout(RETRY_LIMIT);
  for (;;) {
    try {
      return await take(directory);
    } catch (error) {
      if (patience.aborted || !((error as Error).cause instanceof FolderInUse)) throw error;
      await delay(RETRY_EVERY);
    }
  }
}

async function startThread(): Promise<EmbeddedThread> {
  const thread = new EmbeddedThread();
  try {
    await thread.call("load");
    return thread;
  } catch (error) {
    await thread.end();
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new SetupError(PGLITE_MISSING, { cause: error });
  }
}

const PGLITE_MISSING = "--embedded needs the package @electric-sql/pglite, which bundles and images leave out: " +
  "run consumer.ts where npm ci has been run, or write to a server (DB_HOST)";

/**
 * One of several statements, and its place in their text: the number of its first character, from
 * 0.
 */
export interface PlacedStatement {
  readonly text: string;
  readonly offset: number;
}

/**
 * A piece of a query's result. In order these are the columns of a statement, its rows in pieces,
 * and then the next statement's columns.
 */
export type QueryPart = { readonly columns: readonly ResultColumn[] } | {
  readonly rows: readonly (readonly unknown[])[];
};

/** A query that was refused or ended; the message is for a person. */
export class QueryError extends Error {
  override name = "QueryError";
}

/** A query that was ended because others wait for the database. */
export class QueryTookTooLong extends QueryError {
  override name = "QueryTookTooLong";
}

export interface InquiryOptions {
  /** Ends the query. */
  readonly signal: AbortSignal;
  /** Seconds that the query may delay others, counted from when the database is free for it. */
  readonly limit?: number;
}

/** Bytes of memory that PGlite may keep after a query. It begins with less than half of them. */
const MOST_MEMORY = 512 * 1024 * 1024;

/** Milliseconds that statements which follow one another hold up a query. */
const LONGEST_SERIES = 2_000;

/** An open embedded database. */
export class EmbeddedDatabase implements Database {
  readonly #directory: string;
  /** Null while the folder is lent. */
  #lock: Disposable | null;
  #thread: EmbeddedThread;
  /**
   * True if a thread that should have ended still computes: nobody may open the folder beside it.
   */
  #isHaunted = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(directory: string, thread: EmbeddedThread, lock: Disposable) {
    this.#directory = directory;
    this.#thread = thread;
    this.#lock = lock;
  }

  async query<R extends object>(text: string, parameters: readonly Parameter[] = []): Promise<R[]> {
    return await this.#inTurn((thread) => thread.call("query", text, parameters)) as R[];
  }

  async script(text: string): Promise<void> {
    await this.#inTurn((thread) => thread.call("script", text));
  }

  /**
   * Runs statements in one transaction that only reads, and hands over their results. Everything
   * else waits meanwhile. If `signal` aborts, the query ends at once. Its thread is ended too if it
   * must be, and the next statement starts it again. Under Deno such a thread cannot be ended:
   * nothing more can be done with this database then. Rejects with a `QueryError` if a statement
   * gives nothing. Then, and if PostgreSQL does not understand one, no statement was run. The
   * `position` of PostgreSQL's errors counts in the text from which the statements were taken.
   */
  async inquire(
    statements: readonly PlacedStatement[],
    handOver: (part: QueryPart) => Promise<void>,
    { signal, limit }: InquiryOptions,
  ): Promise<void> {
    if (statements.length === 0) throw new QueryError("--query holds no statement");
    await unlessAborted(this.#rest(), signal);
    await this.#inTurn(async (thread) => {
      const late = limit === undefined ? null : AbortSignal.timeout(limit * 1000);
      const ended = late === null ? signal : AbortSignal.any([signal, late]);
      try {
        await unlessAborted(inquire(thread, statements, handOver, ended), ended);
      } catch (error) {
        if (late !== null && error === late.reason) throw new QueryTookTooLong(tookTooLong(limit));
        throw thread.isBroken && !ended.aborted ? new QueryError(broke(error)) : error;
      } finally {
        if (thread.isBusy) {
          this.#isHaunted = !CAN_END_THREADS;
          await thread.end();
        }
        if (!thread.isBroken) await this.#tidy(thread).catch(() => thread.end());
      }
    });
  }

  /**
   * Tidies up after a query. PGlite never gives back memory: if it has taken much, its thread ends.
   */
  async #tidy(thread: EmbeddedThread): Promise<void> {
    if (await thread.call("end") <= MOST_MEMORY) return;
    await thread.call("close");
    await thread.end();
  }

  /**
   * Lets go of the folder until `work` is done, so that another program may open it. Everything
   * else waits meanwhile.
   */
  async lend(work: () => Promise<void>): Promise<void> {
    await this.#rest();
    await this.#inTurn(async (thread) => {
      await thread.call("close");
      await thread.end();
      this.#lock?.[Symbol.dispose]();
      this.#lock = null;
      try {
        await work();
      } finally {
        await this.#startAgain();
      }
    });
  }

  /**
   * Waits until nobody asks for a further statement, at most for `LONGEST_SERIES`. Opening a store
   * takes many statements, and each would have to wait for a query otherwise.
   */
  async #rest(): Promise<void> {
    const end = performance.now() + LONGEST_SERIES;
    for (;;) {
      const last = this.#last;
      await last;
      // Whoever got that answer has asked for the next statement by then.
      await nextTurn();
      if (last === this.#last || performance.now() > end) return;
    }
  }

  /** Does one work after the other, in the order in which they were asked for. */
  #inTurn<T>(work: (thread: EmbeddedThread) => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      if (this.#thread.isBroken) await this.#startAgain();
      return await work(this.#thread);
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #startAgain(): Promise<void> {
    if (this.#isHaunted) throw new Error("a query that cannot be ended still works on the embedded database");
    await this.#thread.end();
    this.#lock ??= await takeBack(this.#directory);
    this.#thread = await startThread();
    await this.#thread.call("open", this.#directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#last;
      if (!this.#thread.isBroken) await this.#thread.call("close");
      await this.#thread.end();
    } finally {
      // Last of all: the next holder of the lock opens the same files. If a thread still computes,
      // the lock ends with the process.
      if (!this.#isHaunted) this.#lock?.[Symbol.dispose]();
    }
  }
}

/**
 * Describes all statements before it runs the first. So a mistake in the last one is found before
 * anything is printed.
 */
async function inquire(
  thread: EmbeddedThread,
  statements: readonly PlacedStatement[],
  handOver: (part: QueryPart) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  /** Begins nothing after the end. Nobody here hears of the end while `handOver` waits. */
  const step = async <T>(offset: number, work: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    return await work().catch((error: unknown) => {
      throw moved(error, offset);
    });
  };
  await thread.call("begin");
  const results: (PlacedStatement & { readonly columns: readonly ResultColumn[] })[] = [];
  for (const { text, offset } of statements) {
    const columns = await step(offset, () => thread.call("describe", text));
    if (columns === null) throw new QueryError(givesNothing(text));
    results.push({ text, offset, columns });
  }
  for (const { text, offset, columns } of results) {
    await handOver({ columns });
    await step(offset, () => thread.call("run", text));
    for (let isLast = false; !isLast;) {
      const fetched = await step(offset, () => thread.call("fetch"));
      isLast = fetched.isLast;
      if (fetched.rows.length > 0) await handOver({ rows: fetched.rows });
    }
  }
}

/**
 * PostgreSQL's error, with its `position` counted in the text from which the statement was taken.
 */
function moved(error: unknown, offset: number): unknown {
  const { position } = error as { readonly position?: string };
  return position === undefined
    ? error
    : Object.assign(error as Error, { position: String(Number(position) + offset) });
}

function tookTooLong(limit = Infinity): string {
  return `the query took more than ${limit} s, while metrics wait: ask for less, or when the consumer has ended`;
}

function broke(error: unknown): string {
  return `the embedded database broke at this query (${(error as Error).message}): ask for less at once`;
}

function givesNothing(statement: string): string {
  const words = statement.replaceAll(/\s+/g, " ").trim();
  const shown = words.length > 60 ? `${words.slice(0, 60)}…` : words;
  return `--query only reads, and this statement gives nothing to print, so nothing was run: ${shown}`;
}
