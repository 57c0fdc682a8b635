import { setTimeout as delay } from "node:timers/promises";
import { type Ended, type Running, start } from "../support/programs.ts";
import type { Variant } from "./combinations.ts";

/** A consumer of the crew. */
export interface Member {
  readonly running: Running;
  readonly group: string;
}

/** Milliseconds between the end of a member and its next start, as under a supervisor. */
const RESTART_AFTER = 300;
/**
 * Milliseconds that a member may take for an orderly end. Two cores with many worlds on them are
 * slow.
 */
const END_LIMIT = 30_000;
export const GROUP = "crew";

/**
 * True also for a member that the signal ended before its first line ran: it heeds signals only
 * from then on.
 */
function isInOrder({ code, signal }: Ended, { stderr }: Running): boolean {
  return code === 0 || (signal === "SIGTERM" && stderr === "");
}

/** Consumers that start again after they end, as under an operator's supervisor. */
export class Crew implements AsyncDisposable {
  readonly #variants: readonly Variant[];
  readonly #environment: Readonly<Record<string, string>>;
  readonly #members = new Set<Member>();
  #started = 0;
  #isOver = false;
  /** Events that no fault explains: a consumer gave up by itself, or did not end. */
  readonly surprises: string[] = [];
  /** True during a fault that lets a consumer give up, or makes it do so. */
  mayGiveUp = false;
  /** How often a member gave up by itself. */
  gaveUp = 0;

  constructor(variants: readonly Variant[], environment: Readonly<Record<string, string>>) {
    this.#variants = variants;
    this.#environment = environment;
  }

  get members(): readonly Member[] {
    return [...this.#members];
  }

  /** Starts one more member. */
  add(group = GROUP): Member {
    const { runtime, client } = this.#variants[this.#started++ % this.#variants.length] as Variant;
    const env = { ...this.#environment, KAFKA_CLIENT: client, KAFKA_GROUP: group };
    const member = { running: start(runtime, "consumer", [], { env, input: "", apart: true }), group };
    this.#members.add(member);
    void member.running.ended.then((ended) => this.#replace(member, ended));
    return member;
  }

  /** Kills one member. Another one takes its place. */
  async kill(member: Member): Promise<void> {
    member.running.kill("SIGKILL");
    await member.running.ended;
  }

  /** Ends one member, in order or by a kill. Nobody takes its place. */
  async dismiss(member: Member, signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#members.delete(member);
    member.running.kill(signal);
    const late = new AbortController();
    const ended = await Promise.race([member.running.ended, delay(END_LIMIT, null, late)]);
    late.abort();
    if (ended === null) this.#surprise(`would not end within ${END_LIMIT / 1000} s`, member.running);
    else if (signal === "SIGTERM" && !isInOrder(ended, member.running) && !this.mayGiveUp) {
      this.#surprise(`ended with ${ended.code ?? ended.signal}`, member.running);
    }
    await member.running[Symbol.asyncDispose]();
  }

  /** Changes the number of members to this one. */
  async resize(count: number): Promise<void> {
    while (this.#members.size < count) this.add();
    for (const member of this.members.slice(count)) await this.dismiss(member);
  }

  async dismissAll(): Promise<void> {
    await Promise.all(this.members.map((member) => this.dismiss(member)));
  }

  async #replace(member: Member, { code, signal }: Ended): Promise<void> {
    if (!this.#members.delete(member)) return;
    if (signal !== "SIGKILL") {
      this.gaveUp++;
      if (!this.mayGiveUp) this.#surprise(`gave up with ${code ?? signal}`, member.running);
    }
    await delay(RESTART_AFTER);
    if (!this.#isOver) this.add(member.group);
  }

  #surprise(what: string, running: Running): void {
    this.surprises.push(`A consumer ${what}:\n${running.stderr.split("\n").slice(-12).join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    const members = this.members;
    this.#members.clear();
    await Promise.all(members.map(({ running }) => running[Symbol.asyncDispose]()));
  }
}
