import { atOnce, type Pieces } from "../async/pieces.ts";
import { type Host, isSameHost } from "../hosts/hosts.ts";
import { advanceDue, countDue, nextDue } from "../hosts/schedule.ts";
import { Clock, type Moment } from "./scheduler/clock.ts";
import { Heap } from "./scheduler/heap.ts";
import { type MissedCause, type MissedRun, ScheduledHost, type ScheduledRun } from "./scheduler/scheduled_host.ts";
import { SlotQueue, type Standing } from "./scheduler/slot_queue.ts";

export type { MissedCause, MissedRun, Moment, ScheduledRun, Standing };

/** How many hosts came, went, and have another line, when the hosts were replaced. */
export interface Changes {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Those that went. */
  readonly gone: readonly Host[];
}

/**
 * Milliseconds from one early check to the next. At 50 a second, a program that restarts over and
 * over floods nobody.
 */
const EARLY_STEP = 20;

/** The standing that an address had in an earlier run. */
export type Recall = (address: string) => Standing;

/**
 * The newest due time of an address that has a result already, whoever made it, in milliseconds
 * since 1970. Undefined where none is known.
 */
export type LastDue = (address: string) => number | undefined;

const NONE_KNOWN: LastDue = () => undefined;

/**
 * Decides whose turn it is: the rule, without a clock or a timer of its own. Each host is due at
 * its due times. It holds one of a limited number of slots while it is checked. No host is checked
 * twice at a time. A due time that passes without a check is a loss.
 *
 * The caller calls `advance` when `next` or `nextToGiveWay` has come, and at least once a second.
 * Then it calls `take` until there is nobody, then `giveWay`; where that gives a run, `take` again.
 */
export class Scheduler {
  readonly #entries = new Map<string, ScheduledHost>();
  readonly #slots: SlotQueue<ScheduledHost>;
  readonly #clock: Clock;
  readonly #recall: Recall;
  #upcoming = upcoming();
  #missed: MissedRun[] = [];
  #nextEarly: number;
  #size = 0;
  #waiting = 0;
  #isClosed = false;
  /** How often the time was told. */
  #advances = 0;
  /** No check may begin, whatever slots there are. */
  #isHeld = false;
  /** No host has another turn. */
  #isOnce = false;
  /** How often the hosts were replaced. */
  #replacements = 0;

  /** At most `concurrency` checks are under way at the same time. */
  constructor(hosts: readonly Host[], concurrency: number, now: Moment, recall: Recall = () => "unknown") {
    this.#slots = new SlotQueue(concurrency);
    this.#recall = recall;
    this.#clock = new Clock(now);
    this.#nextEarly = now.wall;
    this.replace(hosts, now);
  }

  /** Every host once, now. */
  static once(hosts: readonly Host[], concurrency: number, now: Moment): Scheduler {
    // None has another turn: no slot need be kept for those that turn out to be quick.
    const scheduler = new Scheduler([], concurrency, now, () => "quick");
    scheduler.#isOnce = true;
    scheduler.#size = hosts.length;
    for (const host of hosts) scheduler.#noteDueTime(scheduler.#entryOf(host), now.wall);
    return scheduler;
  }

  /**
   * When `advance` has something to do next, in milliseconds since 1970; Infinity where there is
   * nothing.
   */
  get next(): number {
    return this.#upcoming.peek()?.next ?? Infinity;
  }

  /**
   * When `giveWay` may have something next, in milliseconds since 1970; Infinity where there is
   * nothing.
   */
  get nextToGiveWay(): number {
    const { wall, steady } = this.#clock.now;
    return this.#isOnce ? Infinity : wall + this.#slots.nextToGiveWay - steady;
  }

  /**
   * How many hosts there are. A host that is gone does not count, though its last check may still
   * run.
   */
  get size(): number {
    return this.#size;
  }

  /** How many checks are under way. */
  get running(): number {
    return this.#slots.held;
  }

  /** True where no check runs, no host waits, and no due time will come. */
  get isOver(): boolean {
    return this.running === 0 && this.#waiting === 0 && this.next === Infinity;
  }

  /** From now on no check may begin, or each may again. The caller sees to it. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
  }

  /** Notes which due times have come, and which were lost. */
  advance(now: Moment): void {
    if (this.#isClosed) return;
    this.#advances++;
    const back = this.#clock.advance(now);
    if (back > 0) this.#shiftEntries(back);
    const hasSlept = this.#clock.isLongPast(this.next);
    while (this.next <= now.wall) {
      const entry = this.#upcoming.take() as ScheduledHost;
      if (hasSlept) this.#loseAllDueTimes(entry);
      else this.#noteDueTime(entry, entry.next);
      this.#upcoming.add(entry);
    }
  }

  /**
   * Gives a slot to the host that has waited longest; undefined where none waits, or none may have
   * one.
   */
  take(): ScheduledRun | undefined {
    const slot = this.#slots.take(this.#clock.now.steady);
    if (slot === undefined) return undefined;
    const entry = slot.who;
    const scheduledAt = entry.due as number;
    this.#waiting--;
    entry.due = null;
    entry.running = { host: entry.host, scheduledAt, sleeps: this.#clock.sleeps, slot };
    this.#reportLosses(entry.missedRuns.end());
    return entry.running;
  }

  /**
   * Ends a turn early, where `take` has nobody. Its check has taken long, and another host waits
   * that is no suspect. The caller gives the check up at once, and does not release it. From now on
   * its host counts as a suspect. Its due time goes on waiting.
   */
  giveWay(): ScheduledRun | undefined {
    const run = this.#isOnce ? undefined : this.#slots.giveWay(this.#clock.now.steady)?.who.running ?? undefined;
    if (run === undefined) return undefined;
    const { slot: { who: entry }, host, scheduledAt, sleeps } = run;
    entry.running = null;
    entry.standing = "suspect";
    const hasSlept = sleeps !== this.#clock.sleeps;
    const isAsked = !entry.isGone && entry.host === host && entry.due === null && !hasSlept;
    if (isAsked) entry.due = scheduledAt;
    // Reported on its own, outside the row of losses: see `release`.
    else if (!entry.isElsewhere) {
      this.#reportLosses(this.#describeLoss(entry, scheduledAt, 1, hasSlept ? "asleep" : "suspect"));
    }
    if (entry.isGone) this.#entries.delete(entry.host.address);
    else if (entry.due !== null) this.#queueEntry(entry, entry.due);
    return run;
  }

  /** The standing of each host that was checked or recalled. */
  *standings(): Generator<readonly [address: string, standing: Standing], void> {
    for (const { host, standing } of this.#entries.values()) yield [host.address, standing];
  }

  /**
   * Ends a turn: its check has ended and shows `standing`, or nothing where that is null. False
   * where the program slept meanwhile: the check then took time that was not the host's. It tells
   * nothing, and its due time is lost.
   */
  release({ scheduledAt, sleeps, slot }: ScheduledRun, standing: Standing | null, now: Moment): boolean {
    this.advance(now);
    this.#slots.free(slot);
    const entry = slot.who;
    const isSound = sleeps === this.#clock.sleeps;
    if (isSound) entry.standing = standing ?? entry.standing;
    // Reported on its own, outside the row of losses. A row may have begun while the check ran: all
    // its due times are later than this one.
    else if (!entry.isElsewhere) this.#reportLosses(this.#describeLoss(entry, scheduledAt, 1, "asleep"));
    entry.running = null;
    if (entry.isGone) this.#entries.delete(entry.host.address);
    else if (entry.due !== null) this.#queueLateEntry(entry, entry.due);
    return isSound;
  }

  /**
   * Takes other hosts instead. A host with the same line in the file keeps everything: due times,
   * place in the queue, running check. A running check always runs on. Where its address has
   * another line or comes back, the new check waits for the end of the old one. Where `lastDue`
   * knows a new host, it goes on behind that due time.
   */
  replace(hosts: readonly Host[], now: Moment, lastDue: LastDue = NONE_KNOWN): Changes {
    return atOnce(this.replaceInPieces(hosts, () => now, lastDue));
  }

  /**
   * As `replace`, and may rest: until it is over, some hosts are still those of before. It ends
   * early where the hosts are replaced again meanwhile, or withdrawn.
   */
  *replaceInPieces(hosts: readonly Host[], now: () => Moment, lastDue: LastDue = NONE_KNOWN): Pieces<Changes> {
    const replacement = ++this.#replacements;
    const isOver = () => this.#isClosed || replacement !== this.#replacements;
    let [added, changed] = [0, 0];
    const gone: Host[] = [];
    this.advance(now());
    const wanted = new Set<string>();
    for (const { address } of this.#entries.size === 0 ? [] : hosts) {
      wanted.add(address);
      yield;
    }
    for (const entry of this.#entries.values()) {
      if (isOver()) break;
      if (!entry.isGone && !wanted.has(entry.host.address)) {
        this.advance(now());
        gone.push(entry.host);
        this.#removeEntry(entry);
      }
      yield;
    }
    for (const host of hosts) {
      if (isOver()) break;
      const entry = this.#entries.get(host.address);
      const isThere = entry !== undefined && !entry.isGone;
      if (!isThere || !isSameHost(entry.host, host)) {
        this.advance(now());
        if (isThere) changed++;
        else [added, this.#size] = [added + 1, this.#size + 1];
        this.#planEntry(this.#entryOf(host), host, lastDue(host.address));
      }
      yield;
    }
    return { added, removed: gone.length, changed, gone };
  }

  /**
   * Takes out all hosts but these: another program checks them from now on, and tells what they
   * missed. Gives those that went. A running check runs on.
   */
  withdraw(kept: ReadonlySet<string>): readonly Host[] {
    this.#replacements++;
    const gone: Host[] = [];
    for (const entry of this.#entries.values()) {
      const { host } = entry;
      if (entry.isGone || kept.has(host.address)) continue;
      gone.push(host);
      this.#unqueueEntry(entry);
      entry.missedRuns.end();
      entry.isElsewhere = true;
      this.#takeOut(entry);
    }
    if (gone.length > 0) this.#missed = this.#missed.filter(({ host }) => kept.has(host.address));
    return gone;
  }

  /** True where `takeLosses` has something to give. */
  get hasLosses(): boolean {
    return this.#missed.length > 0;
  }

  /** The losses since the last call. */
  takeLosses(): readonly MissedRun[] {
    const missed = this.#missed;
    this.#missed = [];
    return missed;
  }

  /**
   * Gives no more turns, and lets no more due times come. A due time that has come and waits is
   * lost.
   */
  close(): void {
    this.#isClosed = true;
    this.#upcoming = upcoming();
    for (const entry of this.#entries.values()) {
      entry.place = -1;
      // With `--once` there are no due times, so none can be lost: a host just waits for its one
      // check.
      if (entry.next === Infinity) this.#unqueueEntry(entry);
      else this.#endRowOfLosses(entry);
    }
  }

  /** The entry of a host's address; a new one where there is none. */
  #entryOf(host: Host): ScheduledHost {
    const known = this.#entries.get(host.address);
    if (known !== undefined) return known;
    const entry = new ScheduledHost(host, this.#recall(host.address));
    this.#entries.set(host.address, entry);
    return entry;
  }

  #planEntry(entry: ScheduledHost, host: Host, lastDue: number | undefined): void {
    this.#endRowOfLosses(entry);
    if (lastDue !== undefined) this.#resumeEntry(entry, host, lastDue);
    else {
      const { wall } = this.#clock.now;
      const early = Math.max(wall, this.#nextEarly);
      if (entry.plan(host, wall, early)) this.#nextEarly = early + EARLY_STEP;
    }
    if (entry.place === -1) this.#upcoming.add(entry);
    else this.#upcoming.move(entry.place);
  }

  /**
   * Goes on behind `lastDue`. Of the due times since then the newest is checked now, where it is not
   * too late. The others are lost.
   */
  #resumeEntry(entry: ScheduledHost, host: Host, lastDue: number): void {
    const { wall } = this.#clock.now;
    const { frequency, address } = host;
    const last = Math.max(lastDue, entry.running?.scheduledAt ?? -Infinity);
    entry.resume(host, Math.max(last, wall));
    const first = nextDue(frequency, address, last);
    if (first > wall) return;
    const count = countDue(frequency, first, wall);
    const newest = advanceDue(frequency, first, count - 1);
    const isInTime = entry.isInTime(newest, wall);
    const lost = isInTime ? count - 1 : count;
    if (lost > 0) this.#recordLoss(entry, first, lost, "untended");
    if (!isInTime) return;
    entry.due = newest;
    if (entry.running === null) this.#queueEntry(entry, newest);
  }

  #removeEntry(entry: ScheduledHost): void {
    this.#endRowOfLosses(entry);
    this.#takeOut(entry);
  }

  /** `entry` has no more turns. */
  #takeOut(entry: ScheduledHost): void {
    this.#size--;
    entry.isGone = true;
    if (entry.place !== -1) this.#upcoming.remove(entry.place);
    if (entry.running === null) this.#entries.delete(entry.host.address);
  }

  /** A due time of `entry` has come. */
  #noteDueTime(entry: ScheduledHost, at: number): void {
    if (entry.next !== Infinity) entry.move(at);
    // It keeps its place in the queue: the host that waited longest is next.
    if (entry.due !== null) this.#recordLoss(entry, entry.due, 1, this.#causeOf(entry));
    entry.due = at;
    entry.noticedIn = this.#advances;
    if (entry.running === null && !entry.isWaiting) this.#queueEntry(entry, at);
  }

  /** Why the due time that waits is lost as the next one comes. */
  #causeOf(entry: ScheduledHost): MissedCause {
    if (entry.running !== null) return "running";
    if (this.#isHeld) return "unheard";
    return entry.noticedIn === this.#advances ? "stalled" : entry.cause;
  }

  /** All due times of `entry` that have come are lost. */
  #loseAllDueTimes(entry: ScheduledHost): void {
    const { wall } = this.#clock.now;
    this.#loseWaitingDueTime(entry);
    if (entry.isEarly) {
      // The early check is no due time of the frequency: counting goes on from the first one.
      this.#recordLoss(entry, entry.next, 1, "asleep");
      entry.move(entry.next);
      if (entry.next > wall) return;
    }
    this.#recordLoss(entry, entry.next, countDue(entry.host.frequency, entry.next, wall), "asleep");
    entry.move(wall);
  }

  #queueEntry(entry: ScheduledHost, since: number): void {
    this.#waiting++;
    this.#slots.join(entry, since);
  }

  /**
   * The check of `entry` has ended after the next due time. That is checked now, where it is not
   * too late.
   */
  #queueLateEntry(entry: ScheduledHost, due: number): void {
    if (entry.isInTime(due, this.#clock.now.wall)) return this.#queueEntry(entry, due);
    this.#recordLoss(entry, due, 1, "running");
    entry.due = null;
  }

  /** Takes `entry` out of the queue, and forgets the due time that waits. */
  #unqueueEntry(entry: ScheduledHost): void {
    if (entry.isWaiting) this.#waiting--;
    entry.isWaiting = false;
    entry.due = null;
  }

  /**
   * The host's line in the file holds no longer (it was replaced or removed), or the scheduler
   * closes. The due time that waits is lost, and the row of losses is reported.
   */
  #endRowOfLosses(entry: ScheduledHost): void {
    this.#loseWaitingDueTime(entry);
    this.#reportLosses(entry.missedRuns.end());
  }

  /** The due time that has come for `entry` and waits is lost. */
  #loseWaitingDueTime(entry: ScheduledHost): void {
    if (entry.due !== null) this.#recordLoss(entry, entry.due, 1, entry.cause);
    this.#unqueueEntry(entry);
  }

  #recordLoss(entry: ScheduledHost, first: number, count: number, cause: MissedCause): void {
    const missed = this.#describeLoss(entry, first, count, cause);
    this.#reportLosses(entry.missedRuns.add(missed, (at, steps) => advanceDue(entry.host.frequency, at, steps)));
  }

  #describeLoss({ host }: ScheduledHost, first: number, count: number, cause: MissedCause): MissedRun {
    return { host, cause, first, count, summary: null, noticedAt: this.#clock.now.wall };
  }

  #reportLosses(missed: MissedRun | null): void {
    if (missed !== null) this.#missed.push(missed);
  }

  /**
   * The wall clock was set back by `step`. Each host waits as long as it would have, and then for
   * the next due time of its frequency. So no host is checked sooner than without the change, and
   * none waits for the clock to catch up.
   */
  #shiftEntries(step: number): void {
    this.#nextEarly -= step;
    for (const entry of this.#entries.values()) entry.shift(step, this.#clock.now.wall);
    this.#rebuildUpcoming();
  }

  #rebuildUpcoming(): void {
    this.#upcoming = upcoming();
    for (const entry of this.#entries.values()) {
      if (!entry.isGone && entry.next !== Infinity) this.#upcoming.add(entry);
    }
  }
}

/** Hosts by their next due times. */
function upcoming(): Heap<ScheduledHost> {
  return new Heap((entry) => entry.next, (entry, place) => entry.place = place);
}
