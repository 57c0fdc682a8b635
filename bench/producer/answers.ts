import { setTimeout as delay } from "node:timers/promises";

/** Milliseconds between two looks at a server that begins. */
const LOOK_EVERY = 20;

/** Resolves when a server answers at this address. Rejects when `signal` aborts before. */
export async function answers(address: string, signal: AbortSignal): Promise<void> {
  while (!await fetch(address, { signal }).then(({ ok }) => ok).catch(() => false)) {
    await delay(LOOK_EVERY, undefined, { signal });
  }
}
