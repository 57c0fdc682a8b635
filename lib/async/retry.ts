import { delay } from "./waits.ts";

/** How `retry` works. */
export interface RetryOptions {
  /** Ends the waiting: `retry` then throws the last failure. */
  readonly signal: AbortSignal;
  /** True where waiting may help against the failure; any other failure is thrown at once. */
  readonly isPassing: (error: unknown) => boolean;
  /** Called with the first failure, before the first wait. */
  readonly onWait?: (error: unknown) => void;
  /** Called once the work succeeds again, with the seconds that it took. */
  readonly onRecovery?: (seconds: number) => void;
}

/** The shortest and the longest pause between two tries, in milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;

/**
 * Calls `work` until it succeeds. The pauses grow and vary, so that many programs do not come back
 * at the same moment.
 */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const began = performance.now();
  for (let attempt = 0;; attempt++) {
    try {
      const result = await work();
      if (attempt > 0) options.onRecovery?.((performance.now() - began) / 1000);
      return result;
    } catch (error) {
      if (!options.isPassing(error) || options.signal.aborted) throw error;
      if (attempt === 0) options.onWait?.(error);
      await pause(attempt, options.signal);
      if (options.signal.aborted) throw error;
    }
  }
}

/**
 * Milliseconds before try number `attempt` + 1. The pause doubles each time, up to a limit. A
 * random part of it is taken off, at most half ("equal jitter").
 */
export function backOff(attempt: number, random: () => number = Math.random): number {
  const longest = Math.min(FIRST_PAUSE * 2 ** attempt, LONGEST_PAUSE);
  return longest * (0.5 + random() / 2);
}

/** Waits for `backOff(attempt)`, or until `signal` aborts. */
export async function pause(attempt: number, signal: AbortSignal): Promise<void> {
  await delay(backOff(attempt), signal);
}
