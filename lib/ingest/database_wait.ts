import { retry } from "../async/retry.ts";
import { unlessAborted } from "../async/waits.ts";
import { classifyError } from "../postgres/database.ts";

/** Events of the wait for a database. */
export interface DatabaseEvents {
  /** The database does not answer. Said once, then it is tried again and again. */
  waiting(error: unknown): void;
  /** The database answers again, after so many seconds. */
  recovered(seconds: number): void;
}

export interface DatabaseWait {
  /** Ends the wait. */
  readonly giveUp: AbortSignal;
  readonly events: DatabaseEvents;
}

/**
 * Tries until the database has answered. It waits for failures that pass by themselves, and for as
 * long as the program may.
 */
export async function untilAnswered<T>(work: () => Promise<T>, { giveUp, events }: DatabaseWait): Promise<T> {
  let failure: unknown;
  const attempt = async () => {
    try {
      return await work();
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const tries = retry(attempt, {
    signal: giveUp,
    isPassing: (error) => classifyError(error) === "wait",
    onWait: (error) => events.waiting(error),
    onRecovery: (seconds) => events.recovered(seconds),
  });
  try {
    // A silent database is noticed only at its time limit, and nobody waits that long any more.
    return await unlessAborted(tries, giveUp);
  } catch (error) {
    throw giveUp.aborted ? failure ?? silence() : error;
  }
}

function silence(): Error {
  return Object.assign(new Error("PostgreSQL does not answer"), { code: "ETIMEDOUT" });
}
