import { whenSocketsAreServed } from "../async/waits.ts";
import type { Metric } from "../metric.ts";
import { check, type CheckedHost, type CheckOptions } from "./check.ts";
import { AT_ONCE, type Checker } from "./checker.ts";
import { Turns } from "./pace.ts";

/** Makes checks on the thread that calls it. */
export class LocalChecker implements Checker {
  readonly #options: CheckOptions;
  /** Checks that have begun one behind the other. */
  #begun = 0;
  #waiting: (() => void)[] = [];

  constructor(options: Omit<CheckOptions, "turns">) {
    this.#options = { ...options, turns: new Turns() };
  }

  get hasRoom(): boolean {
    return this.#begun < AT_ONCE;
  }

  whenRoom(work: () => void): void {
    this.#waiting.push(work);
  }

  check(host: CheckedHost, scheduledAt: number, signal: AbortSignal, wantsEvidence = false): Promise<Metric> {
    if (this.#begun++ === 0) queueMicrotask(() => this.#endRow());
    return check(host, new Date(scheduledAt), this.#options, signal, wantsEvidence);
  }

  /** Fewer cost no look at the sockets, for which Deno takes a timer. */
  #endRow(): void {
    if (this.hasRoom) this.#begun = 0;
    else whenSocketsAreServed(() => this.#makeRoom());
  }

  #makeRoom(): void {
    this.#begun = 0;
    for (const work of this.#waiting.splice(0)) work();
  }
}
