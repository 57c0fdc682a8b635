import type { Host } from "../../hosts/hosts.ts";

/**
 * Why a due time passed without a check. `running`: the check before it still ran. `waiting`: no
 * slot was free in time. `suspect`: none of the slots for suspects was. `asleep`: the program did
 * not run then, as its machine slept or its clock was set forward.
 */
export type MissedCause = "running" | "waiting" | "suspect" | "asleep";

/**
 * Due times of one host that passed without a check, one after another. Times are milliseconds
 * since 1970.
 */
export interface MissedRun {
  readonly host: Host;
  readonly cause: MissedCause;
  /** The first due time. */
  readonly first: number;
  readonly count: number;
  /** Null: each of them is reported. Else one report stands for all, up to this time. */
  readonly summary: { readonly last: number } | null;
  readonly noticedAt: number;
}

/** How many due times lost in a row are reported one by one (docs/checks.md, "When"). */
const MOST_SINGLY = 100;

/** The losses of one host since its last check. */
export class MissedRuns {
  #count = 0;
  #rest: MissedRun | null = null;

  /**
   * Notes a loss. Returns the part to report one by one, if any. `advance` gives the due time that
   * comes so many steps after another.
   */
  add(missed: MissedRun, advance: (first: number, steps: number) => number): MissedRun | null {
    const count = Math.min(missed.count, MOST_SINGLY - this.#count);
    this.#count += count;
    if (count < missed.count) {
      const first = count === 0 ? missed.first : advance(missed.first, count);
      this.#addToRest({ ...missed, first, count: missed.count - count });
    }
    return count === 0 ? null : { ...missed, count };
  }

  /** Ends the row, as a check begins. Returns the part that was not reported one by one, if any. */
  end(): MissedRun | null {
    const rest = this.#rest;
    this.#count = 0;
    this.#rest = null;
    return rest;
  }

  #addToRest(missed: MissedRun): void {
    const before = this.#rest;
    this.#rest = {
      ...missed,
      first: before?.first ?? missed.first,
      count: (before?.count ?? 0) + missed.count,
      summary: { last: missed.noticedAt },
    };
  }
}
