/** One moment on both clocks, in milliseconds. */
export interface Moment {
  /** Since 1970, as due times are told. This clock may be set, and so jump. */
  readonly wall: number;
  /** Since any beginning. This clock never jumps, but stands still while the machine sleeps. */
  readonly steady: number;
}

/** Smaller steps back, in milliseconds, are waited out. */
const SMALL_STEP = 1000;

/**
 * Milliseconds. A due time that is seen later than this is lost, with all others that have passed
 * by then. A program that slept so long must not wake up with a burst of checks.
 */
const LONGEST_STALL = 5000;

/** The time as a scheduler was last told it; counts the sleeps of the program. */
export class Clock {
  #now: Moment;
  #sleeps = 0;

  constructor(now: Moment) {
    this.#now = now;
  }

  get now(): Moment {
    return this.#now;
  }

  /** How many sleeps there were so far. */
  get sleeps(): number {
    return this.#sleeps;
  }

  /**
   * Goes on to `now`. Gives the milliseconds by which the wall clock was set back; 0 where it was
   * not.
   */
  advance(now: Moment): number {
    const before = this.#now;
    const wall = now.wall - before.wall;
    const step = now.steady - before.steady - wall;
    if (wall > LONGEST_STALL) this.#sleeps++;
    this.#now = now;
    return step > SMALL_STEP ? Math.round(step) : 0;
  }

  /** True where a due time is past for so long that the program must have slept. */
  isLongPast(due: number): boolean {
    return this.#now.wall - due > LONGEST_STALL;
  }
}
