import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { type Running, start } from "../../support/programs.ts";
import type { Variant } from "../../support/variants.ts";

/** A producer of the group, at one of the three places. */
export interface TeamMember {
  readonly place: number;
  /** Tells its rows from those of the members before it. */
  readonly name: string;
  readonly variant: Variant;
  readonly running: Running;
}

/** What a place gives to its members. */
export interface Place {
  readonly environment: Readonly<Record<string, string>>;
  readonly hostsFile: string;
}

/** What a producer has taken of the machine. */
export interface Usage {
  /** Seconds of processors since its start. */
  readonly cpu: number;
  /** Megabytes that it holds now. */
  readonly memory: number;
}

/** Its name in front of the number of its member. */
const LETTERS = "abc";
export const PLACES = 3;
export const PRODUCER_GROUP = "faults";
/** Milliseconds that a member may take for an orderly end. */
const END_LIMIT = 30_000;
/** Milliseconds until the group must have divided the hosts. Two cores may have much to do. */
const DIVIDE_LIMIT = 120_000;

/** The producers of a group: one at each place. */
export class Team implements AsyncDisposable {
  readonly #variants: readonly Variant[];
  readonly #places: readonly Place[];
  readonly #members = new Map<number, TeamMember>();
  #started = 0;
  #shift = 0;
  /** Events that no fault explains. */
  readonly surprises: string[] = [];

  constructor(variants: readonly Variant[], places: readonly Place[]) {
    this.#variants = variants;
    this.#places = places;
  }

  get members(): readonly TeamMember[] {
    return [...this.#members.values()];
  }

  member(place: number): TeamMember {
    const member = this.#members.get(place);
    if (member === undefined) throw new RangeError(`Nobody is at place ${place}`);
    return member;
  }

  /** From now on each place has another runtime or client. */
  shuffle(): void {
    this.#shift++;
  }

  start(place: number, more: Readonly<Record<string, string>> = {}): TeamMember {
    const variant = this.#variants[(place + this.#shift) % this.#variants.length] as Variant;
    const { environment, hostsFile } = this.#places[place] as Place;
    const name = `${LETTERS[place]}${++this.#started}`;
    const env = { ...environment, KAFKA_CLIENT: variant.client, ...more };
    const args = ["--group", PRODUCER_GROUP, "--producer-name", name, hostsFile];
    const running = start(variant.runtime, "producer", args, { env, input: "", apart: true });
    const member = { place, name, variant, running };
    this.#members.set(place, member);
    void running.ended.then(({ code, signal }) => {
      if (this.#members.get(place) === member) this.#surprise(member, `ended by itself with ${code ?? signal}`);
    });
    return member;
  }

  /** Ends a member. Nobody takes its place. */
  async end(member: TeamMember, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const { place, running } = member;
    this.#members.delete(place);
    running.kill(signal);
    const late = new AbortController();
    const ended = await Promise.race([running.ended, delay(END_LIMIT, null, late)]);
    late.abort();
    if (ended === null) this.#surprise(member, `would not end within ${END_LIMIT / 1000} s`);
    else if (signal === "SIGTERM" && ended.code !== 0) {
      this.#surprise(member, `ended with ${ended.code ?? ended.signal}`);
    }
    await running[Symbol.asyncDispose]();
  }

  /** Waits until these producers, and no others, have divided the partitions. */
  async divided(partitions: number): Promise<void> {
    const isDivided = () => {
      const all = this.members.map(stateOf);
      const held = all.reduce((sum, state) => sum + (state?.held ?? 0), 0);
      return held === partitions && all.every((state) => state?.producers === all.length);
    };
    await eventually(isDivided, () => `The partitions are not divided:\n${this.words()}`, {
      timeout: DIVIDE_LIMIT,
      interval: 200,
    });
  }

  /** What each member has taken of the machine, by its name. Empty where the system does not tell (Linux does). */
  usage(): ReadonlyMap<string, Usage> {
    if (process.platform !== "linux") return new Map();
    return new Map(this.members.map(({ name, running }) => [name, usageOf(running.pid)]));
  }

  /** The last words of each member. */
  words(): string {
    return this.members.map((member) => `${member.name} (${member.variant.name}):\n${lastWords(member)}`).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ running }) => running[Symbol.asyncDispose]()));
    this.#members.clear();
  }

  #surprise(member: TeamMember, what: string): void {
    this.surprises.push(`${member.name} (${member.variant.name}) ${what}:\n${lastWords(member)}`);
  }
}

function lastWords({ running }: TeamMember): string {
  return running.stderr.split("\n").slice(-15).join("\n");
}

/** From proc(5): times are in hundredths of a second. */
function usageOf(pid: number): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  const [, resident = ""] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, memory: Number(resident) / 1024 };
}

/** The last word of a producer on how much it holds. */
function stateOf({ running }: TeamMember): { readonly producers: number; readonly held: number } | null {
  const said = [...running.stderr.matchAll(/: (\d+) producers?, (?:this one holds (\d+)|no partition)/g)].at(-1);
  return said === undefined ? null : { producers: Number(said[1]), held: Number(said[2] ?? 0) };
}
