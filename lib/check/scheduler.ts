import { type Host, isSameHost } from "../hosts/hosts.ts";
import { advanceDue, countDue, nextDue } from "../hosts/schedule.ts";
import { type Moment, setBack } from "./scheduler/clock.ts";
import { Heap } from "./scheduler/heap.ts";
import { type MissedCause, type MissedRun, MissedRuns } from "./scheduler/missed_runs.ts";
import { type Slot, Slots, type Standing } from "./scheduler/slots.ts";

export type { MissedCause, MissedRun, Moment, Standing };

/** A host whose time has come, and who holds a slot until its check has ended. */
export interface ScheduledRun {
  readonly host: Host;
  /** Milliseconds since 1970. */
  readonly scheduledAt: number;
  /** How many sleeps there were before it. */
  readonly sleeps: number;
  readonly slot: Slot<Entry>;
}

/** How many hosts came, went, and have another line, when the hosts were replaced. */
export interface Changes {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

/**
 * Hosts that wait longer than this for their first due time, in milliseconds, are also checked soon
 * after the start.
 */
const PATIENCE = 30_000;
/**
 * Milliseconds from one such early check to the next: 50 a second, so that a program that restarts
 * over and over hammers nobody.
 */
const EARLY_STEP = 20;
/**
 * Milliseconds. Due times that are seen later than this are lost, with all others that have passed
 * by then: whoever slept that long must not wake up with a burst of checks.
 */
const LONGEST_STALL = 5000;
/**
 * A due time is not lost where the check before ends so soon after it: milliseconds, and part of
 * the time to the next one. Else a host that is down would, with a timeout as long as its interval,
 * lose every other due time.
 */
const GRACE = 1000;
const GRACE_PART = 0.1;

/** What is known of an address from an earlier run. */
export type Recall = (address: string) => Standing;

/** A host, and where it stands. Times are milliseconds since 1970. */
interface Entry {
  host: Host;
  /** The next due time that has not come. */
  next: number;
  /** True where `next` is the early check, which is not one of the frequency's own due times. */
  isEarly: boolean;
  /** The due time that has come and waits: for a slot, or for the end of the check before. */
  due: number | null;
  isWaiting: boolean;
  /** Its check that is under way. */
  running: ScheduledRun | null;
  standing: Standing;
  /** No longer in the file; it is kept while its last check runs. */
  isGone: boolean;
  readonly missedRuns: MissedRuns;
}

/**
 * Whose turn it is: the rule, without a clock or a timer of its own. Each host is due at its due
 * times, holds one of a limited number of slots while it is checked, and is never checked twice at
 * a time. A due time that passes without a check is a loss. Whoever runs it calls `advance` when
 * `next` or `nextToGiveWay` has come, and at least once a second, then `take` until there is
 * nobody, then `giveWay`, and where that has something `take` again.
 */
export class Scheduler {
  readonly #entries = new Map<string, Entry>();
  readonly #slots: Slots<Entry>;
  #upcoming = new Heap<Entry>((entry) => entry.next);
  #missed: MissedRun[] = [];
  #now: Moment;
  #nextEarly: number;
  #waiting = 0;
  #sleeps = 0;
  #isClosed = false;
  /** No host has another turn. */
  #isOnce = false;
  readonly #recall: Recall;

  /**
   * `concurrency`: how many checks may be under way at the same time. `recall`: what an earlier run
   * knew of an address.
   */
  constructor(hosts: readonly Host[], concurrency: number, now: Moment, recall: Recall = () => "unknown") {
    this.#slots = new Slots(concurrency);
    this.#recall = recall;
    this.#now = now;
    this.#nextEarly = now.wall;
    this.replace(hosts, now);
  }

  /** Every host once, now. */
  static once(hosts: readonly Host[], concurrency: number, now: Moment): Scheduler {
    // None has another turn: no slot need be kept for those that turn out to be quick.
    const scheduler = new Scheduler([], concurrency, now, () => "quick");
    scheduler.#isOnce = true;
    for (const host of hosts) scheduler.#come(scheduler.#enter(host, Infinity), now.wall);
    return scheduler;
  }

  /** When `advance` has something to do next, in milliseconds since 1970; Infinity where there is nothing. */
  get next(): number {
    return this.#upcoming.peek()?.next ?? Infinity;
  }

  /** When `giveWay` may have something next, in milliseconds since 1970; Infinity where there is nothing. */
  get nextToGiveWay(): number {
    return this.#isOnce ? Infinity : this.#now.wall + this.#slots.nextToGiveWay - this.#now.steady;
  }

  /** How many hosts there are, those aside that are kept only while their last check runs. */
  get size(): number {
    return this.#entries.size;
  }

  /** How many checks are under way. */
  get running(): number {
    return this.#slots.held;
  }

  /** True where every host had its turn and none will have another. */
  get isOver(): boolean {
    return this.running === 0 && this.#waiting === 0 && this.next === Infinity;
  }

  /** Notes which due times have come, and which were lost. */
  advance(now: Moment): void {
    if (this.#isClosed) return;
    const back = setBack(this.#now, now);
    if (now.wall - this.#now.wall > LONGEST_STALL) this.#sleeps++;
    this.#now = now;
    if (back > 0) this.#shift(back);
    const hasSlept = now.wall - this.next > LONGEST_STALL;
    while (this.next <= now.wall) {
      const entry = this.#upcoming.take() as Entry;
      if (hasSlept) this.#skip(entry);
      else this.#come(entry, entry.next);
      this.#upcoming.add(entry);
    }
  }

  /** Gives a slot to the host that has waited longest; undefined where none waits, or none may have one. */
  take(): ScheduledRun | undefined {
    const slot = this.#slots.take(this.#now.steady);
    if (slot === undefined) return undefined;
    const entry = slot.who;
    const scheduledAt = entry.due as number;
    this.#waiting--;
    entry.due = null;
    entry.running = { host: entry.host, scheduledAt, sleeps: this.#sleeps, slot };
    this.#tell(entry.missedRuns.end());
    return entry.running;
  }

  /**
   * Where `take` has nobody: a turn that ends here, since its check has taken long and somebody
   * waits who is no suspect. Its check is to be given up at once, and it is not released. Its host
   * counts as a suspect from now on, and its due time goes on waiting.
   */
  giveWay(): ScheduledRun | undefined {
    const run = this.#isOnce ? undefined : this.#slots.giveWay(this.#now.steady)?.who.running ?? undefined;
    if (run === undefined) return undefined;
    const { slot: { who: entry }, host, scheduledAt, sleeps } = run;
    entry.running = null;
    entry.standing = "suspect";
    const isAsked = !entry.isGone && entry.host === host && entry.due === null && sleeps === this.#sleeps;
    if (isAsked) entry.due = scheduledAt;
    // By itself, as in `release`.
    else this.#tell(this.#lossOf(entry, scheduledAt, 1, sleeps === this.#sleeps ? "suspect" : "asleep"));
    if (entry.isGone) this.#entries.delete(entry.host.address);
    else if (entry.due !== null) this.#line(entry, entry.due);
    return run;
  }

  /** What is known of each host that was checked or recalled. */
  *standings(): Generator<readonly [address: string, standing: Standing], void> {
    for (const { host, standing } of this.#entries.values()) yield [host.address, standing];
  }

  /**
   * The check of that turn has ended, and shows that; null where it shows nothing. False where the
   * program did not run for a while meanwhile: the time was not the host's, and so the check tells
   * nothing, and its due time is lost.
   */
  release({ scheduledAt, sleeps, slot }: ScheduledRun, standing: Standing | null, now: Moment): boolean {
    this.advance(now);
    this.#slots.free(slot);
    const entry = slot.who;
    const isSound = sleeps === this.#sleeps;
    if (isSound) entry.standing = standing ?? entry.standing;
    // By itself: the row of losses that may have begun since consists of later ones.
    else this.#tell(this.#lossOf(entry, scheduledAt, 1, "asleep"));
    entry.running = null;
    if (entry.isGone) this.#entries.delete(entry.host.address);
    else if (entry.due !== null) this.#lineLate(entry, entry.due);
    return isSound;
  }

  /**
   * Takes other hosts instead. Those whose line is the same keep everything: due times, place in
   * the line, running check. A running check ends in any case, and a new one of the same address
   * waits for that.
   */
  replace(hosts: readonly Host[], now: Moment): Changes {
    this.advance(now);
    if (this.#isClosed) return { added: 0, removed: 0, changed: 0 };
    let [added, removed, changed] = [0, 0, 0];
    if (this.#entries.size > 0) {
      const wanted = new Set(hosts.map(({ address }) => address));
      for (const entry of this.#entries.values()) {
        if (entry.isGone || wanted.has(entry.host.address)) continue;
        removed++;
        this.#remove(entry);
      }
    }
    for (const host of hosts) {
      const entry = this.#entries.get(host.address);
      if (entry !== undefined && !entry.isGone && isSameHost(entry.host, host)) continue;
      if (entry === undefined || entry.isGone) added++;
      else changed++;
      this.#plan(entry ?? this.#enter(host, Infinity), host);
    }
    this.#rebuild();
    return { added, removed, changed };
  }

  /** True where `takeLosses` has something to give. */
  get hasLosses(): boolean {
    return this.#missed.length > 0;
  }

  /** What was lost since the last call. */
  takeLosses(): readonly MissedRun[] {
    const missed = this.#missed;
    this.#missed = [];
    return missed;
  }

  /** There will be no more turns, and no more due times: what has come and waits is lost. */
  close(): void {
    this.#isClosed = true;
    this.#upcoming = new Heap((entry) => entry.next);
    for (const entry of this.#entries.values()) {
      // Where each has one turn only, who had none has lost no due time.
      if (entry.next === Infinity) this.#leave(entry);
      else this.#endRow(entry);
    }
  }

  #enter(host: Host, next: number): Entry {
    const entry: Entry = {
      host,
      next,
      isEarly: false,
      due: null,
      isWaiting: false,
      running: null,
      standing: this.#recall(host.address),
      isGone: false,
      missedRuns: new MissedRuns(),
    };
    this.#entries.set(host.address, entry);
    return entry;
  }

  /** Plans the first check of a line that is new. */
  #plan(entry: Entry, host: Host): void {
    this.#endRow(entry);
    const { wall } = this.#now;
    const early = Math.max(wall, this.#nextEarly);
    entry.host = host;
    entry.isGone = false;
    entry.next = nextDue(host.frequency, host.address, wall);
    entry.isEarly = host.frequency.kind === "interval" && entry.next - wall > PATIENCE && early < entry.next;
    if (!entry.isEarly) return;
    entry.next = early;
    this.#nextEarly = early + EARLY_STEP;
  }

  #remove(entry: Entry): void {
    this.#endRow(entry);
    entry.isGone = true;
    if (entry.running === null) this.#entries.delete(entry.host.address);
  }

  /** A due time of `entry` has come. */
  #come(entry: Entry, at: number): void {
    if (entry.next !== Infinity) this.#move(entry, at);
    // It keeps its place in the line: whoever waited longest is next.
    if (entry.due !== null) this.#lose(entry, entry.due, 1, causeOf(entry));
    entry.due = at;
    if (entry.running === null && !entry.isWaiting) this.#line(entry, at);
  }

  /** All due times of `entry` that have come are lost. */
  #skip(entry: Entry): void {
    const { wall } = this.#now;
    this.#loseDue(entry);
    if (entry.isEarly) {
      // Not one of the grid's: counting goes on from the first that is.
      this.#lose(entry, entry.next, 1, "asleep");
      this.#move(entry, entry.next);
      if (entry.next > wall) return;
    }
    this.#lose(entry, entry.next, countDue(entry.host.frequency, entry.next, wall), "asleep");
    this.#move(entry, wall);
  }

  #move(entry: Entry, after: number): void {
    entry.isEarly = false;
    entry.next = nextDue(entry.host.frequency, entry.host.address, after);
  }

  #line(entry: Entry, since: number): void {
    this.#waiting++;
    this.#slots.join(entry, since);
  }

  /** The check of `entry` has ended after the next due time: that is checked now, where it is not too late. */
  #lineLate(entry: Entry, due: number): void {
    const isInTime = this.#now.wall - due <= Math.min(GRACE, (entry.next - due) * GRACE_PART);
    if (isInTime) return this.#line(entry, due);
    this.#lose(entry, due, 1, "running");
    entry.due = null;
  }

  /** Nothing that has come for `entry` waits any more. */
  #leave(entry: Entry): void {
    if (entry.isWaiting) this.#waiting--;
    entry.isWaiting = false;
    entry.due = null;
  }

  /** Nothing is to come for `entry` as it is. */
  #endRow(entry: Entry): void {
    this.#loseDue(entry);
    this.#tell(entry.missedRuns.end());
  }

  /** What has come for `entry` and waits is lost. */
  #loseDue(entry: Entry): void {
    if (entry.due !== null) this.#lose(entry, entry.due, 1, causeOf(entry));
    this.#leave(entry);
  }

  #lose(entry: Entry, first: number, count: number, cause: MissedCause): void {
    const missed = this.#lossOf(entry, first, count, cause);
    this.#tell(entry.missedRuns.add(missed, (at, steps) => advanceDue(entry.host.frequency, at, steps)));
  }

  #lossOf({ host }: Entry, first: number, count: number, cause: MissedCause): MissedRun {
    return { host, cause, first, count, summary: null, noticedAt: this.#now.wall };
  }

  #tell(missed: MissedRun | null): void {
    if (missed !== null) this.#missed.push(missed);
  }

  /**
   * The wall clock was set back by `step`. What was to come waits as long as it would have, and
   * then for the next due time of its frequency: no host is checked sooner than it would have been,
   * and none waits for the clock to catch up.
   */
  #shift(step: number): void {
    this.#nextEarly -= step;
    for (const entry of this.#entries.values()) {
      const { host, next } = entry;
      if (next !== Infinity) {
        entry.next = entry.isEarly ? next - step : nextDue(host.frequency, host.address, next - step - 1);
      }
      if (entry.due !== null) entry.due = Math.min(entry.due, this.#now.wall);
    }
    this.#rebuild();
  }

  #rebuild(): void {
    this.#upcoming = new Heap((entry) => entry.next);
    for (const entry of this.#entries.values()) {
      if (!entry.isGone && entry.next !== Infinity) this.#upcoming.add(entry);
    }
  }
}

/** Why a due time that has come for `entry` is lost. */
function causeOf({ running, standing }: Entry): MissedCause {
  if (running !== null) return "running";
  return standing === "suspect" ? "suspect" : "waiting";
}
