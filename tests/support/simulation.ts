import { type Host, parseHosts } from "../../lib/hosts.ts";
import { type Loss, type Moment, Timetable, type Turn } from "../../lib/timetable.ts";

export const NOON = Date.parse("2026-03-01T12:00:00Z");

/** The hosts of some lines of a hosts file. */
export function hostsOf(...lines: string[]): readonly Host[] {
  const { hosts, problems } = parseHosts(lines.join("\n"), "hosts.txt", "UTC");
  if (problems.length > 0) throw new SyntaxError(problems.join("\n"));
  return hosts;
}

/** A check that was begun. */
export interface Begun {
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly scheduledAt: number;
  /** On both clocks. */
  readonly at: Moment;
}

/** How long a check takes, in milliseconds, and whether it then failed. */
export interface Course {
  readonly takes: number;
  readonly fails?: boolean;
}

interface Running {
  readonly turn: Turn;
  /** On the steady clock. */
  readonly end: number;
  readonly fails: boolean;
}

/** Runs a timetable on a clock that is only a number: hours pass in no time, and may jump. */
export class Simulation {
  readonly begun: Begun[] = [];
  readonly losses: Loss[] = [];
  readonly timetable: Timetable;
  /** How often the timetable was asked: a hot loop would be seen. */
  turns = 0;
  /** The most checks under way at a time, of one host and of all. */
  mostOfOne = 0;
  most = 0;
  now: Moment = { wall: NOON, steady: 0 };
  readonly #course: (address: string) => Course;
  readonly #running: Running[] = [];

  constructor(
    hosts: readonly Host[],
    { concurrency = 1000, course = () => ({ takes: 50 }), once = false }: {
      concurrency?: number;
      course?: (address: string) => Course;
      once?: boolean;
    } = {},
  ) {
    this.#course = course;
    this.timetable = once ? Timetable.once(hosts, concurrency, this.now) : new Timetable(hosts, concurrency, this.now);
  }

  /** Lets so many milliseconds pass on both clocks. */
  run(duration: number): this {
    const end = this.now.steady + duration;
    this.#turn();
    while (true) {
      const next = Math.min(
        this.now.steady + Math.max(0, this.timetable.next - this.now.wall),
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

  /** Sets the wall clock, forward or back, by so many milliseconds; to whoever runs on, a sleeping machine is the same. */
  jump(by: number): this {
    this.now = { ...this.now, wall: this.now.wall + by };
    return this;
  }

  /** The due times of a host that were checked, and those that were lost, told one by one. */
  dueTimes(address: string): { readonly checked: number[]; readonly lost: number[] } {
    const { interval } = frequencyOf(this.losses, address) ?? { interval: 0 };
    return {
      checked: this.begun.filter((each) => each.address === address).map(({ scheduledAt }) => scheduledAt),
      lost: this.losses.filter(({ host, summary }) => host.address === address && summary === null)
        .flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index * interval)),
    };
  }

  #pass(duration: number): void {
    this.now = { wall: this.now.wall + duration, steady: this.now.steady + duration };
  }

  #turn(): void {
    this.turns++;
    for (let first = this.#running[0]; first !== undefined && first.end <= this.now.steady; first = this.#running[0]) {
      this.#running.shift();
      this.timetable.release(first.turn, first.fails, this.now);
    }
    this.timetable.advance(this.now);
    for (let turn = this.timetable.take(); turn !== undefined; turn = this.timetable.take()) this.#begin(turn);
    this.losses.push(...this.timetable.takeLosses());
  }

  #begin(turn: Turn): void {
    const { address } = turn.host;
    this.begun.push({ address, scheduledAt: turn.scheduledAt, at: this.now });
    const { takes, fails = false } = this.#course(address);
    const end = this.now.steady + takes;
    const place = this.#running.findLastIndex((other) => other.end <= end);
    this.#running.splice(place + 1, 0, { turn, end, fails });
    const ofOne = this.#running.filter((other) => other.turn.host.address === address).length;
    this.mostOfOne = Math.max(this.mostOfOne, ofOne);
    this.most = Math.max(this.most, this.#running.length);
  }
}

function frequencyOf(losses: readonly Loss[], address: string) {
  const frequency = losses.find(({ host }) => host.address === address)?.host.frequency;
  return frequency?.kind === "interval" ? frequency : undefined;
}
