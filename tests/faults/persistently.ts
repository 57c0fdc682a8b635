import { setTimeout as delay } from "node:timers/promises";

/** How often, at most, and after how many milliseconds something is tried again. */
export interface Persistence {
  readonly tries: number;
  readonly pause: number;
  /** True where trying again may help; without it, any failure may pass. */
  readonly isPassing?: (error: unknown) => boolean;
}

/** Tries until it works: what is asked may just be starting, or be what is struck. */
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
