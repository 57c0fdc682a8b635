import { setTimeout as delay } from "node:timers/promises";

/** How many tries there are at most, and how many milliseconds lie between two. */
export interface Persistence {
  readonly tries: number;
  readonly pause: number;
  /** True for a failure after which it is tried again. Absent: after every one it is. */
  readonly isPassing?: (error: unknown) => boolean;
}

/**
 * Tries until it works. The part that is asked may just be starting, or a fault may have struck it.
 */
export async function persistently<T>(work: () => Promise<T>, persistence: Persistence): Promise<T> {
  const { tries, pause, isPassing = () => true } = persistence;
  for (let count = 1;; count++) {
    try {
      return await work();
    } catch (error) {
      if (count === tries || !isPassing(error)) throw error;
    }
    await delay(pause);
  }
}
