import type { Worker } from "node:worker_threads";
import { delay } from "../async/waits.ts";
import { hashOf } from "../hosts/schedule.ts";
import { emptyMetric, type Metric } from "../metric.ts";
import type { CheckedHost } from "./check.ts";
import type { Checker } from "./checker.ts";
import type { LargeMatcher } from "./matching.ts";
import {
  type BodyAnswer,
  type BodyQuestion,
  MOST_WAITING,
  type News,
  type Order,
  type Outcomes,
  type Task,
  type WorkerSettings,
} from "./threads/messages.ts";
import { startCheckWorker } from "./threads/worker.ts";

interface CheckThreadOptions {
  readonly settings: WorkerSettings;
  /** Matches the bodies that are too large for the thread. */
  readonly matcher: Pick<LargeMatcher, "matches">;
  /** Starts a worker; for tests. */
  readonly start?: (settings: WorkerSettings) => Worker;
}

/** The reason why a thread has ended, for a person, and how many checks were under way in it. */
export interface ThreadEnd {
  readonly reason: string;
  readonly missed: number;
}

export interface CheckThreadsOptions extends CheckThreadOptions {
  /** How many. */
  readonly threads: number;
  /** Called where a thread has ended by itself. Another one takes its place. */
  readonly replaced: (end: ThreadEnd) => void;
  /** Called where none can take its place. */
  readonly failed: (error: Error) => void;
}

/** Milliseconds from the start of a thread until another one takes its place, at the least. */
const LEAST_LIFE = 1000;

/**
 * Makes checks in threads. Each address has a thread of its own choice, by its hash: a hostile site
 * hurts no site of another thread. Only where that thread has no room does a check go to another.
 */
export class CheckThreads implements Checker, AsyncDisposable {
  readonly #options: CheckThreadsOptions;
  readonly #threads: CheckThread[];
  readonly #isClosing = new AbortController();
  #waiting: (() => void)[] = [];

  private constructor(options: CheckThreadsOptions) {
    this.#options = options;
    this.#threads = Array.from({ length: options.threads }, () => this.#start());
  }

  /** Starts the threads. Resolves when all can make checks, and rejects where one cannot start. */
  static async open(options: CheckThreadsOptions): Promise<CheckThreads> {
    const checker = new CheckThreads(options);
    try {
      await Promise.all(checker.#threads.map(started));
    } catch (error) {
      await checker[Symbol.asyncDispose]();
      throw error;
    }
    for (const [index, thread] of checker.#threads.entries()) void checker.#keep(index, thread);
    return checker;
  }

  get hasRoom(): boolean {
    return this.#threads.some(({ room }) => room > 0);
  }

  whenRoom(work: () => void): void {
    this.#waiting.push(work);
  }

  check(host: CheckedHost, scheduledAt: number, signal: AbortSignal, wantsEvidence = false): Promise<Metric> {
    return this.#threadOf(host.address).check(host, scheduledAt, signal, wantsEvidence);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing.abort();
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()));
  }

  #threadOf(address: string): CheckThread {
    const threads = this.#threads;
    // Salted: the bare hash also says when an interval is due.
    const own = threads[threads.length === 1 ? 0 : hashOf(`thread ${address}`) % threads.length] as CheckThread;
    return own.room > 0 ? own : threads.reduce((most, thread) => thread.room > most.room ? thread : most);
  }

  #start(): CheckThread {
    return new CheckThread(this.#options, () => {
      if (this.#waiting.length > 0 && this.hasRoom) { for (const work of this.#waiting.splice(0)) work(); }
    });
  }

  /** Sees to it that there is a thread at this place. */
  async #keep(index: number, thread: CheckThread): Promise<void> {
    const { signal } = this.#isClosing;
    while (true) {
      const startedAt = performance.now();
      const end = await thread.ended;
      if (signal.aborted) return;
      this.#options.replaced(end);
      await delay(Math.max(0, LEAST_LIFE - (performance.now() - startedAt)), signal);
      if (signal.aborted) return;
      this.#threads[index] = thread = this.#start();
      try {
        await started(thread);
      } catch (error) {
        if (!signal.aborted) this.#options.failed(error as Error);
        return;
      }
    }
  }
}

async function started(thread: CheckThread): Promise<void> {
  const end = await Promise.race([thread.ready, thread.ended]);
  if (end !== undefined) throw new Error(`a thread for checks does not start: ${end.reason}`);
}

/** A check whose outcome is awaited. */
interface OpenTask {
  readonly task: Task;
  readonly outcome: PromiseWithResolvers<Metric>;
}

/** A thread that makes checks, from its start to its end. */
class CheckThread implements AsyncDisposable {
  readonly #options: CheckThreadOptions;
  readonly #worker: Worker;
  readonly #hasNews: () => void;
  readonly #tasks = new Map<number, OpenTask>();
  readonly #questions = new Map<number, AbortController>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<ThreadEnd>();
  #failure: string | null = null;
  #orders: { readonly tasks: Task[]; readonly givenUp: number[] } | null = null;
  #room = 0;
  #id = 0;

  /** `hasNews` is called where it may have room again. */
  constructor(options: CheckThreadOptions, hasNews: () => void) {
    this.#options = options;
    this.#hasNews = hasNews;
    const { settings, start = startCheckWorker } = options;
    this.#worker = start(settings);
    this.#worker.on("message", (news: News) => this.#hear(news));
    this.#worker.on("error", (error: Error) => this.#failure ??= error.message);
    this.#worker.once("exit", (code) => this.#end(this.#failure ?? `it exited with ${code}`));
  }

  /** Resolves when checks can be made. Never, where the thread ends before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves when the thread has ended. */
  get ended(): Promise<ThreadEnd> {
    return this.#ended.promise;
  }

  /** How many checks it may be given now. */
  get room(): number {
    return this.#room;
  }

  /** See `Checker.check`. The metric is `missed` where the thread ends first. */
  check(host: CheckedHost, scheduledAt: number, signal: AbortSignal, wantsEvidence = false): Promise<Metric> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { address, authorization, pattern, absent, options } = host;
    const sources = { pattern: pattern?.source ?? null, absent: absent?.source ?? null };
    const task: Task = { id: this.#id++, address, authorization, ...sources, options, scheduledAt, wantsEvidence };
    const outcome = Promise.withResolvers<Metric>();
    this.#tasks.set(task.id, { task, outcome });
    this.#room--;
    this.#order().tasks.push(task);
    signal.addEventListener("abort", () => {
      if (!this.#tasks.delete(task.id)) return;
      this.#order().givenUp.push(task.id);
      outcome.reject(signal.reason);
    }, { once: true });
    return outcome.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  /** The orders of this turn, which go out together behind it. */
  #order(): { readonly tasks: Task[]; readonly givenUp: number[] } {
    if (this.#orders === null) {
      queueMicrotask(() => {
        const orders = this.#orders;
        this.#orders = null;
        if (orders !== null) this.#worker.postMessage(orders satisfies Order);
      });
    }
    return this.#orders ??= { tasks: [], givenUp: [] };
  }

  #hear(news: News): void {
    if (news === "ready") {
      this.#room = MOST_WAITING;
      this.#ready.resolve();
    } else if ("question" in news) return void this.#answer(news.question);
    else if ("withdrawn" in news) return this.#questions.get(news.withdrawn)?.abort();
    else this.#take(news);
    this.#hasNews();
  }

  #take({ begun, made, failed }: Outcomes): void {
    this.#room += begun;
    for (const [id, metric] of made) this.#close(id)?.resolve(metric);
    for (const [id, message] of failed) this.#close(id)?.reject(new Error(message));
  }

  #close(id: number): PromiseWithResolvers<Metric> | undefined {
    const open = this.#tasks.get(id);
    this.#tasks.delete(id);
    return open?.outcome;
  }

  async #answer({ id, source, bytes, contentType, limit, who }: BodyQuestion): Promise<void> {
    const asking = new AbortController();
    this.#questions.set(id, asking);
    const page = { bytes: new Uint8Array(bytes), contentType };
    const outcome = await this.#options.matcher.matches(source, page, limit, asking.signal, who).then(
      (found) => typeof found === "boolean" ? found : { reason: found.reason, error: found.error },
      (error: Error) => ({ failure: error.message }),
    );
    this.#questions.delete(id);
    if (asking.signal.aborted) return;
    this.#worker.postMessage({ answer: { id, outcome } satisfies BodyAnswer } satisfies Order);
  }

  /** Nobody else will tell of the checks under way. */
  #end(reason: string): void {
    this.#room = 0;
    for (const asking of this.#questions.values()) asking.abort();
    const missed = this.#tasks.size;
    for (const { task, outcome } of this.#tasks.values()) outcome.resolve(this.#missed(task, reason));
    this.#tasks.clear();
    this.#ended.resolve({ reason, missed });
  }

  #missed({ address, scheduledAt }: Task, reason: string): Metric {
    const { location, producer, isGrouped } = this.#options.settings;
    const metric = emptyMetric({
      ...{ address, location, producer, isGrouped },
      ...{ scheduledAt: new Date(scheduledAt), checkedAt: new Date(), nextAt: null },
    });
    return { ...metric, error: "missed", error_detail: `the thread that made the check ended: ${reason}` };
  }
}
