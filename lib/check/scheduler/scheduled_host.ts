import type { Host } from "../../hosts/hosts.ts";
import { nextDue } from "../../hosts/schedule.ts";
import { type MissedCause, MissedRuns } from "./missed_runs.ts";
import type { Slot, Standing } from "./slots.ts";

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
  isWaiting = false;
  /** The check under way. */
  running: ScheduledRun | null = null;
  standing: Standing;
  /** No longer in the file; it is kept while its last check runs. */
  isGone = false;
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
    this.host = host;
    this.isGone = false;
    this.move(wall);
    this.isEarly = host.frequency.kind === "interval" && this.next - wall > LONGEST_FIRST_WAIT && early < this.next;
    if (this.isEarly) this.next = early;
    return this.isEarly;
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
