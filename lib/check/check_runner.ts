import { addAbortListener } from "node:events";
import { setImmediate as otherWork, setTimeout as delay } from "node:timers/promises";
import { inPieces, type Pieces } from "../async/pieces.ts";
import type { Host } from "../hosts/hosts.ts";
import { nextDue } from "../hosts/schedule.ts";
import type { Metric, MetricSource } from "../metric.ts";
import type { Checker } from "./checker.ts";
import { missedMetrics, type RemovedHost, removedMetric } from "./missed.ts";
import {
  type Changes,
  type LastDue,
  type Moment,
  type Recall,
  type ScheduledRun,
  Scheduler,
  type Standing,
} from "./scheduler.ts";

export type { Changes };

/** How many checks are under way at the same time, at most, and who makes them. */
export interface CheckRunnerOptions extends MetricSource {
  readonly concurrency: number;
  /** True if no host is due again. */
  readonly isOnce: boolean;
  readonly checker: Checker;
  /** True where the first failed check of a row of them brings evidence. */
  readonly wantsEvidence?: boolean;
  /** What an earlier run knew of an address. */
  readonly recall?: Recall | undefined;
  /**
   * False while the hosts may be another program's. Then no check begins, and nothing is told as
   * missed. Absent: they never are.
   */
  readonly mayAct?: (() => boolean) | undefined;
}

/** Longest wait in one piece, in milliseconds: a clock that was set is noticed no later. */
const LONGEST_WAIT = 1000;
/** Milliseconds until a runner that may not act looks whether it may again. */
const SUSPENDED_WAIT = 100;
/**
 * A check that takes more than so many seconds makes its host a slow one or, where it fails, a
 * suspect: see scheduler/slot_queue.ts.
 */
const SLOW = 1;
/**
 * After a night's sleep there may be a million missed checks to tell of: so many of them in one
 * piece, so many milliseconds apart. Faster, they would push those of real checks out of the queue
 * to Kafka.
 */
const PIECE = 500;
const PIECE_PAUSE = 10;

/**
 * Checks hosts at their due times. Iterating starts it, and gives the metrics as they are made,
 * those of missed checks too. Reading slowly delays no check. Ends when `stop` has aborted and the
 * last check has ended (`isOnce`: when every host is checked); a check still under way when
 * `giveUp` aborts is given up, and gives none.
 */
export class CheckRunner implements AsyncIterable<Metric> {
  readonly #options: CheckRunnerOptions;
  readonly #stop: AbortSignal;
  readonly #giveUp: AbortSignal;
  readonly #scheduler: Scheduler;
  readonly #running = new Map<ScheduledRun, AbortController>();
  /** The addresses whose last check found them down: of these evidence was told. */
  readonly #down = new Set<string>();
  #metrics: Metric[] = [];
  #failure: { readonly error: unknown } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakeAt = Infinity;
  #wake = () => {};
  /** How many calls are telling of removed hosts. */
  #telling = 0;
  /** True while the checker has no room. */
  #isHeldBack = false;
  #isOver = false;

  constructor(hosts: readonly Host[], options: CheckRunnerOptions, stop: AbortSignal, giveUp: AbortSignal) {
    this.#options = options;
    this.#stop = stop;
    this.#giveUp = giveUp;
    // One listener for all checks: a signal walks past all that it has to add another. With 1,000
    // checks under way, that would cost a sixth of a check.
    addAbortListener(giveUp, () => {
      for (const running of this.#running.values()) running.abort(giveUp.reason);
    });
    const { isOnce, concurrency, recall } = options;
    this.#scheduler = isOnce
      ? Scheduler.once(hosts, concurrency, moment())
      : new Scheduler(hosts, concurrency, moment(), recall);
  }

  /** When the first host is due, in milliseconds since 1970; null where there is no host. */
  get firstDue(): number | null {
    if (this.#options.isOnce) return Date.now();
    return this.#scheduler.next === Infinity ? null : this.#scheduler.next;
  }

  /** How many hosts are checked. */
  get size(): number {
    return this.#scheduler.size;
  }

  /** How many checks are under way. */
  get running(): number {
    return this.#scheduler.running;
  }

  /** What is known of each host: for the next run's `recall`. */
  standings(): Iterable<readonly [address: string, standing: Standing]> {
    return this.#scheduler.standings();
  }

  /**
   * Checks other hosts from now on; those whose line is the same keep their due times and their
   * running checks. Those that go get their last metric, unless `isToldLater`. While it compares
   * many hosts, checks go on. A call of `replace` or `divide` ends one that is not over.
   */
  async replace(hosts: readonly Host[], isToldLater = false): Promise<Changes> {
    const replacing = this.#scheduler.replaceInPieces(hosts, moment);
    const changes = await inPieces(replacing, () => this.#turn());
    this.#turn();
    for (const { address } of changes.gone) this.#down.delete(address);
    if (!isToldLater) await this.tellRemoved(changes.gone);
    return changes;
  }

  /** Gives the last metrics of hosts that have left the hosts file. */
  async tellRemoved(hosts: readonly RemovedHost[]): Promise<void> {
    const wake = () => {
      if (this.#hasNews) this.#wake();
    };
    this.#telling++;
    await inPieces(this.#addRemoved(hosts), wake);
    this.#telling--;
    wake();
  }

  *#addRemoved(hosts: readonly RemovedHost[]): Pieces<void> {
    const now = new Date();
    for (const host of hosts) {
      this.#metrics.push(removedMetric(host, now, this.#options));
      yield;
    }
  }

  /**
   * Checks just these hosts from now on, as a group divides them. New ones go on behind `lastDue`.
   * Those that go are checked by another program; gives them.
   */
  divide(hosts: readonly Host[], lastDue: LastDue): readonly Host[] {
    const gone = this.#scheduler.withdraw(new Set(hosts.map(({ address }) => address)));
    for (const { address } of gone) this.#down.delete(address);
    this.#scheduler.replace(hosts, moment(), lastDue);
    this.#turn();
    return gone;
  }

  /** True while a check of one of these addresses is under way. */
  isChecking(addresses: ReadonlySet<string>): boolean {
    return this.#running.keys().some(({ host }) => addresses.has(host.address));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Metric, void> {
    const stop = () => {
      this.#scheduler.close();
      this.#wake();
    };
    this.#stop.addEventListener("abort", stop);
    try {
      if (this.#stop.aborted) stop();
      this.#turn();
      while (true) {
        if (this.#failure !== undefined) throw this.#failure.error;
        const isEnded = this.#isEnded;
        yield* this.#takeMetrics();
        if (this.#mayAct) yield* this.#tellLosses();
        if (isEnded) return;
        if (this.#hasNews) continue;
        // Nothing runs between the checks above and here, so no wake can be missed.
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      this.#stop.removeEventListener("abort", stop);
      clearTimeout(this.#timer);
      this.#isOver = true;
    }
  }

  get #isEnded(): boolean {
    return (this.#stop.aborted || this.#options.isOnce) && this.#scheduler.isOver && this.#telling === 0;
  }

  get #hasNews(): boolean {
    const hasLosses = this.#scheduler.hasLosses && this.#mayAct;
    return this.#metrics.length > 0 || hasLosses || this.#failure !== undefined || this.#isEnded;
  }

  get #mayAct(): boolean {
    return this.#options.mayAct?.() ?? true;
  }

  /** Lets everyone begin whose turn it is, and sees to it that this happens again in time. */
  #turn(): void {
    if (this.#isOver) return;
    this.#scheduler.hold(!this.#mayAct);
    this.#scheduler.advance(moment());
    this.#begin();
    this.#setTimer();
    if (this.#hasNews) this.#wake();
  }

  /** Begins checks whose turn it is: as many as the checker has room for, the others later. */
  #begin(): void {
    if (this.#isHeldBack || !this.#mayAct) return;
    const { checker } = this.#options;
    while (checker.hasRoom) {
      const run = this.#nextTurn();
      if (run === undefined) return;
      void this.#check(run);
    }
    this.#isHeldBack = true;
    checker.whenRoom(() => {
      this.#isHeldBack = false;
      this.#turn();
    });
  }

  /** Where no slot is free, one of a check that is given up. */
  #nextTurn(): ScheduledRun | undefined {
    while (true) {
      const run = this.#scheduler.take();
      const late = run === undefined ? this.#scheduler.giveWay() : undefined;
      if (late === undefined) return run;
      this.#running.get(late)?.abort();
      this.#running.delete(late);
    }
  }

  #setTimer(): void {
    const now = Date.now();
    const wakeAt = this.#mayAct
      ? Math.min(this.#scheduler.next, this.#scheduler.nextToGiveWay, now + LONGEST_WAIT)
      : now + SUSPENDED_WAIT;
    // The timer that is set will do: it comes sooner, and asks again.
    if (this.#wakeAt <= wakeAt && this.#wakeAt > now) return;
    clearTimeout(this.#timer);
    this.#wakeAt = wakeAt;
    this.#timer = setTimeout(() => {
      this.#wakeAt = Infinity;
      this.#turn();
    }, Math.max(0, wakeAt - now));
  }

  async #check(run: ScheduledRun): Promise<void> {
    let metric: Metric | null = null;
    const { host, scheduledAt } = run;
    const running = new AbortController();
    this.#running.set(run, running);
    try {
      if (this.#giveUp.aborted) running.abort(this.#giveUp.reason);
      const wantsEvidence = this.#options.wantsEvidence === true && !this.#down.has(host.address);
      metric = await this.#options.checker.check(host, scheduledAt, running.signal, wantsEvidence);
      metric.next_at = this.#nextAfter(run);
      metric.labels = host.options?.labels ?? null;
    } catch (error) {
      if (!running.signal.aborted) this.#failure ??= { error };
    }
    // A check that gave way has no turn any more.
    if (!this.#running.delete(run)) return;
    const isSound = this.#scheduler.release(run, metric && standingOf(metric), moment());
    if (isSound && metric !== null) {
      this.#metrics.push(metric);
      if (metric.up === true) this.#down.delete(host.address);
      else if (metric.up === false && this.#options.wantsEvidence === true) this.#down.add(host.address);
    }
    this.#turn();
  }

  #nextAfter({ host: { frequency, address }, scheduledAt }: ScheduledRun): string | null {
    return this.#options.isOnce ? null : new Date(nextDue(frequency, address, scheduledAt)).toISOString();
  }

  #takeMetrics(): readonly Metric[] {
    const metrics = this.#metrics;
    this.#metrics = [];
    return metrics;
  }

  /** The metrics of what was missed; those of real checks come in between. */
  async *#tellLosses(): AsyncGenerator<Metric, void> {
    let told = 0;
    for (const missed of this.#scheduler.takeLosses()) {
      for (const metric of missedMetrics(missed, this.#options)) {
        yield metric;
        if (++told % PIECE !== 0) continue;
        await (this.#stop.aborted ? otherWork() : delay(PIECE_PAUSE));
        yield* this.#takeMetrics();
      }
    }
  }
}

/** What a check tells of its host; null where none was made. */
function standingOf({ error, latency }: Metric): Standing | null {
  if (error === "missed") return null;
  if (latency <= SLOW) return "quick";
  return error === null ? "slow" : "suspect";
}

function moment(): Moment {
  return { wall: Date.now(), steady: performance.now() };
}
