import { setTimeout as delay } from "node:timers/promises";

export interface Patience {
  /** Milliseconds. */
  readonly timeout?: number;
  readonly interval?: number;
}

/**
 * Asks again and again until `look` gives something that is true, and gives that; rejects in the
 * words of `what` when time is up.
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
