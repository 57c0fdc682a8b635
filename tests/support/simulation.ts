import {
  type MissedRun,
  type Moment,
  type Recall,
  type ScheduledRun,
  Scheduler,
  type Standing,
} from "../../lib/check/scheduler.ts";
import type { Host } from "../../lib/hosts/hosts.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";

/** Milliseconds that a check of a quick host takes at most. */
const SLOW = 1000;

export const NOON = Date.parse("2026-03-01T12:00:00Z");

/** The hosts of some lines of a hosts file. */
export function hostsOf(...lines: string[]): readonly Host[] {
  const { hosts, problems } = parseHosts(lines.join("\n"), "hosts.txt", "UTC");
  if (problems.length > 0) throw new SyntaxError(problems.join("\n"));
  return hosts;
}

/** A check that began. */
export interface Begun {
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly scheduledAt: number;
  /** The beginning, on both clocks. */
  readonly at: Moment;
}

/** The duration of a check, in milliseconds, and whether the check then failed. */
export interface Course {
  readonly takes: number;
  readonly fails?: boolean;
}

interface Running {
  readonly run: ScheduledRun;
  /** The end, on the steady clock. */
  readonly end: number;
  readonly standing: Standing;
  readonly begun: Begun;
}

/**
 * Runs a scheduler on a clock that is only a number. Hours pass in no time, and the clock may jump.
 */
export class Simulation {
  readonly begun: Begun[] = [];
  readonly missed: MissedRun[] = [];
  /** Checks that began, but tell nothing. */
  readonly unsound = new Set<Begun>();
  /** Checks that began, and were given up for others. */
  readonly gaveWay = new Set<Begun>();
  readonly scheduler: Scheduler;
  /** How often the scheduler was asked. A hot loop would show here. */
  turns = 0;
  /** The most checks under way at a time, for one host and for all. */
  mostOfOne = 0;
  most = 0;
  now: Moment = { wall: NOON, steady: 0 };
  readonly #course: (address: string) => Course;
  readonly #running: Running[] = [];

  constructor(
    hosts: readonly Host[],
    { concurrency = 1000, course = () => ({ takes: 50 }), once = false, recall }: {
      concurrency?: number;
      course?: (address: string) => Course;
      once?: boolean;
      recall?: Recall;
    } = {},
  ) {
    this.#course = course;
    this.scheduler = once
      ? Scheduler.once(hosts, concurrency, this.now)
      : new Scheduler(hosts, concurrency, this.now, recall);
  }

  /** Lets so many milliseconds pass on both clocks. */
  run(duration: number): this {
    const end = this.now.steady + duration;
    this.#turn();
    while (true) {
      const next = Math.min(
        this.now.steady + Math.max(0, Math.min(this.scheduler.next, this.scheduler.nextToGiveWay) - this.now.wall),
        this.#running[0]?.end ?? Infinity,
        this.now.steady + 1000,
      );
      if (next > end) break;
      this.#pass(next - this.now.steady);
      this.#turn();
    }
    this.#pass(end - this.now.steady);
    this.#turn();
    return this;
  }

  /**
   * Sets the wall clock forward or back by so many milliseconds. To a program, a sleeping machine
   * looks the same.
   */
  jump(by: number): this {
    this.now = { ...this.now, wall: this.now.wall + by };
    return this;
  }

  /**
   * The due times of a host (not cron): the checked ones, those lost and reported one by one, and
   * the summed-up ones.
   */
  dueTimes(address: string): { readonly checked: number[]; readonly lost: number[]; readonly summed: number[] } {
    const missed = this.missed.filter(({ host }) => host.address === address);
    const timesOf = ({ host: { frequency }, first, count }: MissedRun) =>
      Array.from(
        { length: count },
        (_, index) => first + index * (frequency.kind === "interval" ? frequency.interval : NaN),
      );
    return {
      checked: this.begun.filter((each) =>
        each.address === address && !this.unsound.has(each) && !this.gaveWay.has(each)
      )
        .map(({ scheduledAt }) => scheduledAt),
      lost: missed.filter(({ summary }) => summary === null).flatMap(timesOf),
      summed: missed.filter(({ summary }) => summary !== null).flatMap(timesOf),
    };
  }

  /** Waits for the ends of the checks under way, and closes the scheduler. */
  close(): this {
    while (this.#running[0] !== undefined) {
      this.#pass(Math.max(0, this.#running[0].end - this.now.steady));
      this.scheduler.close();
      this.#turn();
    }
    this.scheduler.close();
    this.#turn();
    return this;
  }

  #pass(duration: number): void {
    this.now = { wall: this.now.wall + duration, steady: this.now.steady + duration };
  }

  #turn(): void {
    this.turns++;
    for (let first = this.#running[0]; first !== undefined && first.end <= this.now.steady; first = this.#running[0]) {
      this.#running.shift();
      if (!this.scheduler.release(first.run, first.standing, this.now)) this.unsound.add(first.begun);
    }
    this.scheduler.advance(this.now);
    do {
      for (let run = this.scheduler.take(); run !== undefined; run = this.scheduler.take()) this.#begin(run);
    } while (this.#giveWay());
    this.missed.push(...this.scheduler.takeLosses());
  }

  /** Gives up a check for another one. False where none has to be given up. */
  #giveWay(): boolean {
    const run = this.scheduler.giveWay();
    const place = this.#running.findIndex((each) => each.run === run);
    if (run === undefined) return false;
    for (const { begun } of this.#running.splice(place, 1)) this.gaveWay.add(begun);
    return true;
  }

  #begin(run: ScheduledRun): void {
    const { address } = run.host;
    const begun = { address, scheduledAt: run.scheduledAt, at: this.now };
    this.begun.push(begun);
    const { takes, fails = false } = this.#course(address);
    const end = this.now.steady + takes;
    const place = this.#running.findLastIndex((other) => other.end <= end);
    const standing = takes <= SLOW ? "quick" : fails ? "suspect" : "slow";
    this.#running.splice(place + 1, 0, { run, end, standing, begun });
    const ofOne = this.#running.filter((other) => other.run.host.address === address).length;
    this.mostOfOne = Math.max(this.mostOfOne, ofOne);
    this.most = Math.max(this.most, this.#running.length);
  }
}
