import { setTimeout as delay } from "node:timers/promises";

export interface Patience {
  /** Milliseconds. */
  readonly timeout?: number;
  readonly interval?: number;
}

/**
 * Calls `look` again and again until it gives a true value, and gives that. Rejects with the words
 * of `what` when time is up.
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
  what: () => string,
  { timeout = 30_000, interval = 20 }: Patience = {},
): Promise<T> {
  for (const limit = performance.now() + timeout;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > limit) throw new Error(what());
    await delay(interval);
  }
}
