import type { Host } from "../../hosts/hosts.ts";
import { nextDue } from "../../hosts/schedule.ts";
import type { Slot, Standing } from "./slot_queue.ts";

/** A host whose time has come. It holds a slot until its check has ended. */
export interface ScheduledRun {
  readonly host: Host;
  /** Milliseconds since 1970. */
  readonly scheduledAt: number;
  /** How many sleeps there were before it. */
  readonly sleeps: number;
  readonly slot: Slot<ScheduledHost>;
}

/**
 * Milliseconds. A host that waits longer than this for its first due time is also checked soon
 * after the start.
 */
const LONGEST_FIRST_WAIT = 30_000;

/**
 * A due time is not lost where the check before it ends soon enough after it. `GRACE` is in
 * milliseconds, `GRACE_PART` is a part of the time to the next due time. Otherwise a host that is
 * down, with a timeout as long as its interval, would lose every other due time.
 */
const GRACE = 1000;
const GRACE_PART = 0.1;

/** A host, and where it stands. Times are milliseconds since 1970. */
export class ScheduledHost {
  host: Host;
  /** The next due time that has not come. */
  next = Infinity;
  /** True where `next` is the early check, which is no due time of the frequency. */
  isEarly = false;
  /** The due time that has come and waits: for a slot, or for the end of the check before it. */
  due: number | null = null;
  /** Which advance of the scheduler noticed that. */
  noticedIn = 0;
  isWaiting = false;
  /** The check under way. */
  running: ScheduledRun | null = null;
  standing: Standing;
  /** No longer in the file; it is kept while its last check runs. */
  isGone = false;
  /** Its place among those with a due time to come; -1: it has none there. */
  place = -1;
  /** Another program checks it, and tells what it missed. */
  isElsewhere = false;
  readonly missedRuns = new MissedRuns();

  constructor(host: Host, standing: Standing) {
    this.host = host;
    this.standing = standing;
  }

  /**
   * Plans the first check of a line that is new. True where it comes at `early`, before the first
   * due time.
   */
  plan(host: Host, wall: number, early: number): boolean {
    this.resume(host, wall);
    this.isEarly = host.frequency.kind === "interval" && this.next - wall > LONGEST_FIRST_WAIT && early < this.next;
    if (this.isEarly) this.next = early;
    return this.isEarly;
  }

  /** Plans a line whose due times up to `after` are settled. */
  resume(host: Host, after: number): void {
    this.host = host;
    this.isGone = this.isElsewhere = false;
    this.move(after);
  }

  /** Goes on to the first due time after `after`. */
  move(after: number): void {
    this.isEarly = false;
    this.next = nextDue(this.host.frequency, this.host.address, after);
  }

  /** The wall clock was set back by `step`, to `wall`. */
  shift(step: number, wall: number): void {
    if (this.isEarly) this.next -= step;
    else if (this.next !== Infinity) this.move(this.next - step - 1);
    if (this.due !== null) this.due = Math.min(this.due, wall);
  }

  /** True where `due`, which waited for the end of the check before it, is not too late. */
  isInTime(due: number, wall: number): boolean {
    return wall - due <= Math.min(GRACE, (this.next - due) * GRACE_PART);
  }

  /** Why a due time that has come is lost. */
  get cause(): MissedCause {
    if (this.running !== null) return "running";
    return this.standing === "suspect" ? "suspect" : "waiting";
  }
}

/**
 * Why a due time passed without a check. `running`: the check before it still ran. `waiting`: no
 * slot was free in time. `suspect`: none of the slots for suspects was. `asleep`: the program did
 * not run then, as its machine slept or its clock was set forward. `stalled`: it did not run for a
 * shorter time. `unheard`: it might not check, as a member of a group. `untended`: no producer of the
 * group had the host.
 */
export type MissedCause = "running" | "waiting" | "suspect" | "asleep" | "stalled" | "unheard" | "untended";

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
