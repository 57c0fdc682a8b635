import { delay } from "../async/waits.ts";
import { hashOf } from "../hosts/schedule.ts";
import type { Metric } from "../metric.ts";
import type { CheckedHost } from "./check.ts";
import type { Checker } from "./checker.ts";
import { CheckThread, type CheckThreadOptions, type ThreadEnd } from "./threads/check_thread.ts";
import type { WorkerSettings } from "./threads/messages.ts";

export type { ThreadEnd, WorkerSettings };

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
