import { setTimeout as delay } from "node:timers/promises";
import { type Ended, type Running, start } from "../support/programs.ts";
import type { Variant } from "./combinations.ts";

/** A consumer of the crew. */
export interface Member {
  readonly running: Running;
  readonly group: string;
}

/** Milliseconds between a member's end and its next start, as a supervisor has it. */
const RESTART_AFTER = 300;
/** Milliseconds that a member may take to end in order; two cores with many worlds on them are slow. */
const END_LIMIT = 30_000;
export const GROUP = "crew";

/**
 * True also of one that was ended before it had begun: it listens to signals from its first line
 * on, and not before.
 */
function isInOrder({ code, signal }: Ended, { stderr }: Running): boolean {
  return code === 0 || (signal === "SIGTERM" && stderr === "");
}

/** Consumers that are started again when they end, as an operator's supervisor would. */
export class Crew implements AsyncDisposable {
  readonly #variants: readonly Variant[];
  readonly #environment: Readonly<Record<string, string>>;
  readonly #members = new Set<Member>();
  #started = 0;
  #isOver = false;
  /** What no fault explains: consumers that gave up by themselves, or would not end. */
  readonly surprises: string[] = [];
  /** True while a fault strikes of which a consumer may, or must, give up. */
  mayGiveUp = false;
  /** How often one gave up by itself. */
  gaveUp = 0;

  constructor(variants: readonly Variant[], environment: Readonly<Record<string, string>>) {
    this.#variants = variants;
    this.#environment = environment;
  }

  get members(): readonly Member[] {
    return [...this.#members];
  }

  /** One more. */
  add(group = GROUP): Member {
    const { runtime, client } = this.#variants[this.#started++ % this.#variants.length] as Variant;
    const env = { ...this.#environment, KAFKA_CLIENT: client, KAFKA_GROUP: group };
    const member = { running: start(runtime, "consumer", [], { env, input: "", apart: true }), group };
    this.#members.add(member);
    void member.running.ended.then((ended) => this.#replace(member, ended));
    return member;
  }

  /** Ends one with no warning; another one takes its place. */
  async kill(member: Member): Promise<void> {
    member.running.kill("SIGKILL");
    await member.running.ended;
  }

  /** Ends one in order, or with no warning; nobody takes its place. */
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

  /** So many, more or fewer than there are now. */
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
