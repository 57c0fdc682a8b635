/** One moment on both clocks, in milliseconds. */
export interface Moment {
  /** Since 1970: what due times are told in. It may be set, and so jump. */
  readonly wall: number;
  /** Since any beginning; never jumps, but stands still while the machine sleeps. */
  readonly steady: number;
}

/** Smaller steps back, in milliseconds, are waited out. */
const SMALL_STEP = 1000;

/** Tells by how much the wall clock was set back from one moment to the next: milliseconds, 0 where it was not. */
export function setBack(before: Moment, now: Moment): number {
  const step = (now.steady - before.steady) - (now.wall - before.wall);
  return step > SMALL_STEP ? Math.round(step) : 0;
}
