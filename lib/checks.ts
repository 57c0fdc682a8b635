import { AbortMany } from "./abort_many.ts";
import { check, type CheckOptions } from "./check.ts";
import { concurrently } from "./concurrently.ts";
import type { Due } from "./due.ts";
import type { Metric } from "./metric.ts";

/** How many checks are under way at the same time, at most, and how each is made. */
export interface ChecksOptions extends CheckOptions {
  readonly concurrency: number;
}

/**
 * Checks every host that is due, in the order of due times, and gives the metrics as they are made. Ends with `due`, once
 * the last check has ended; a check still under way when `giveUp` aborts is given up, and gives none.
 */
export async function* checks(
  due: AsyncIterable<Due>,
  options: ChecksOptions,
  giveUp: AbortSignal,
): AsyncGenerator<Metric, void> {
  const givingUp = new AbortMany(giveUp);
  const checkOne = async ({ host, scheduledAt, release }: Due): Promise<Metric | null> => {
    try {
      return await givingUp.during((signal) => check(host, scheduledAt, options, signal));
    } catch (error) {
      if (giveUp.aborted) return null;
      throw error;
    } finally {
      release();
    }
  };
  for await (const metric of concurrently(due, options.concurrency, checkOne)) {
    if (metric !== null) yield metric;
  }
}
