import type { MessagePort } from "node:worker_threads";
import { unlessAborted, whenSocketsAreServed } from "../../async/waits.ts";
import { pageOf } from "../../hosts/address.ts";
import { patternsOf } from "../../hosts/pattern.ts";
import type { Metric } from "../../metric.ts";
import { isPrivateAddress } from "../../net/ip_address.ts";
import { systemResolver } from "../../net/resolver.ts";
import { check, type CheckedHost, type CheckOptions } from "../check.ts";
import { AT_ONCE, type Checker } from "../checker.ts";
import { bufferOf, type LargeMatcher, type MatchedPage, matcherBefore, Unmatched } from "../matching.ts";
import { Turns } from "../pace.ts";
import { runtimeAuthorities } from "../paths.ts";
import { TrustStore } from "../trust.ts";
import {
  type BodyAnswer,
  MOST_WAITING,
  type News,
  type Order,
  type Outcomes,
  type Task,
  type WorkerSettings,
} from "./messages.ts";

/** Makes checks for the owner of `port`, until the thread is ended. */
export function serve(port: MessagePort, settings: WorkerSettings): void {
  const bodies = new DistantMatcher(port);
  const work = new Work(port, settings, bodies);
  port.on("message", (order: Order) => {
    if ("answer" in order) bodies.hear(order.answer);
    else work.take(order.tasks, order.givenUp);
  });
  port.postMessage("ready" satisfies News);
}

/** The tasks of a worker: some wait for room, the others are under way. */
class Work {
  readonly #checker: LocalChecker;
  readonly #outcomes: OutcomesBatch;
  readonly #patternOf = patternsOf();
  readonly #waiting = new Map<number, Task>();
  readonly #running = new Map<number, AbortController>();
  #isHeldBack = false;

  constructor(port: MessagePort, settings: WorkerSettings, bodies: DistantMatcher) {
    this.#outcomes = new OutcomesBatch(port);
    this.#checker = new LocalChecker({
      ...settings,
      matcher: matcherBefore(bodies),
      resolver: systemResolver(),
      isBlocked: settings.blockPrivateAddresses ? isPrivateAddress : null,
      trust: new TrustStore(runtimeAuthorities(settings.denoCertificatesFile)),
    });
  }

  take(tasks: readonly Task[], givenUp: readonly number[]): void {
    for (const task of tasks) this.#waiting.set(task.id, task);
    for (const id of givenUp) {
      if (this.#waiting.delete(id)) this.#outcomes.begin();
      this.#running.get(id)?.abort();
    }
    this.#beginSome();
  }

  #beginSome(): void {
    if (this.#isHeldBack) return;
    for (const [id, task] of this.#waiting) {
      if (!this.#checker.hasRoom) {
        this.#isHeldBack = true;
        this.#checker.whenRoom(() => {
          this.#isHeldBack = false;
          this.#beginSome();
        });
        return;
      }
      this.#waiting.delete(id);
      this.#outcomes.begin();
      void this.#make(task);
    }
  }

  async #make(task: Task): Promise<void> {
    const { id, address, authorization, pattern, absent, options, scheduledAt, wantsEvidence } = task;
    const running = new AbortController();
    this.#running.set(id, running);
    try {
      const host = {
        address,
        authorization,
        url: new URL(pageOf(address)),
        pattern: pattern === null ? null : this.#patternOf(pattern),
        absent: absent === null ? null : this.#patternOf(absent),
        options,
      };
      this.#outcomes.add(id, await this.#checker.check(host, scheduledAt, running.signal, wantsEvidence));
    } catch (error) {
      if (!running.signal.aborted) this.#outcomes.fail(id, (error as Error).message);
    } finally {
      this.#running.delete(id);
    }
  }
}

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

/**
 * Milliseconds in which outcomes are gathered for one message. A message costs both threads as much
 * as the outcomes of several checks, and nobody waits for them: what a check measured is over.
 */
const GATHERED = 10;

/** What has become of tasks since it was last told. */
class OutcomesBatch {
  readonly #port: MessagePort;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #begun = 0;
  #made: [number, Metric][] = [];
  #failed: [number, string][] = [];

  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** Told with the next outcome, or where many have begun. */
  begin(): void {
    if (++this.#begun >= MOST_WAITING / 2) this.#tell();
  }

  add(id: number, metric: Metric): void {
    this.#made.push([id, metric]);
    this.#gather();
  }

  fail(id: number, message: string): void {
    this.#failed.push([id, message]);
    this.#gather();
  }

  #gather(): void {
    this.#timer ??= setTimeout(() => this.#tell(), GATHERED);
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const outcomes: Outcomes = { begun: this.#begun, made: this.#made, failed: this.#failed };
    [this.#begun, this.#made, this.#failed] = [0, [], []];
    this.#port.postMessage(outcomes satisfies News);
  }
}

/** Has large bodies matched by the worker's owner, which has workers for that. */
class DistantMatcher implements Pick<LargeMatcher, "matches"> {
  readonly #port: MessagePort;
  readonly #asked = new Map<number, PromiseWithResolvers<boolean | Unmatched>>();
  #id = 0;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  async matches(
    source: string,
    { bytes, contentType }: MatchedPage,
    limit: number,
    signal: AbortSignal,
    who: string,
  ): Promise<boolean | Unmatched> {
    const id = this.#id++;
    const asked = Promise.withResolvers<boolean | Unmatched>();
    this.#asked.set(id, asked);
    const buffer = bufferOf(bytes);
    this.#port.postMessage(
      { question: { id, source, bytes: buffer, contentType, limit, who } } satisfies News,
      [buffer],
    );
    try {
      return await unlessAborted(asked.promise, signal);
    } finally {
      // Not answered yet: the check was given up.
      if (this.#asked.delete(id)) this.#port.postMessage({ withdrawn: id } satisfies News);
    }
  }

  hear({ id, outcome }: BodyAnswer): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (typeof outcome === "boolean") asked?.resolve(outcome);
    else if ("failure" in outcome) asked?.reject(new Error(outcome.failure));
    else asked?.resolve(new Unmatched(outcome.reason, outcome.error));
  }
}
