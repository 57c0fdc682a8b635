import { addAbortListener } from "node:events";
import { delay } from "../async/waits.ts";
import { type Database, explain, isConnectionLoss } from "./database.ts";

/** Milliseconds between two looks at what is too old. */
const LOOK_INTERVAL = 3_600_000;
/** Milliseconds until what could not go is tried again. */
const RETRY_INTERVAL = 60_000;
/** Milliseconds. What stays too long is said once a day. */
const WARNING_INTERVAL = 86_400_000;

/** How that is let go which is too old. */
export interface SweepingWork {
  /** A way to the database on which nobody else waits. */
  open(): Database;
  /** Ends the work. */
  readonly signal: AbortSignal;
  /** Something went, or cannot go, or will go soon. */
  tell(what: string, isTrouble: boolean): void;
}

/**
 * Sweeps again and again, until the work's signal aborts. `sweep` gives false if something could not
 * go that may. `failed` hears why a sweep has failed. Never rejects.
 */
export async function sweepAgain(
  work: SweepingWork,
  sweep: (database: Database) => Promise<boolean>,
  failed: (why: string) => void,
): Promise<void> {
  while (!work.signal.aborted) {
    let isDone = false;
    const database = work.open();
    try {
      using _listening = addAbortListener(work.signal, () => void database[Symbol.asyncDispose]());
      isDone = await sweep(database);
    } catch (error) {
      // The flushes tell of a database that is away.
      if (!work.signal.aborted && !isConnectionLoss(error)) failed(explain(error));
    } finally {
      await database[Symbol.asyncDispose]();
    }
    await delay(isDone ? LOOK_INTERVAL : RETRY_INTERVAL, work.signal);
  }
}

/** Says once a day what stays too long. */
export class DailyWarnings {
  /** When a thing was last told, by its name. */
  readonly #told = new Map<string, number>();

  tell({ tell }: Pick<SweepingWork, "tell">, name: string, what: string): void {
    const now = performance.now();
    if (now - (this.#told.get(name) ?? -Infinity) < WARNING_INTERVAL) return;
    this.#told.set(name, now);
    tell(what, true);
  }
}
