import type { Worker } from "node:worker_threads";
import { type Matched, type Question, startWorker } from "./matching/worker.ts";
import { textOf, type UnknownCharset } from "./matching/text.ts";
import type { Pattern } from "./pattern.ts";
import { unlessAborted } from "./unless_aborted.ts";

/** Matches bodies, the large ones in a worker: a page of 1 MiB would stop every other check for 100 ms and more. */
export interface Matcher extends AsyncDisposable {
  /**
   * Whether `pattern` matches the text of `bytes`, or why nobody can tell: it took more than `limit` seconds, not counting the wait
   * for a free worker. `bytes` may be gone afterwards. Rejects with `signal`'s reason when that aborts.
   */
  matches(pattern: Pattern, page: Page, limit: number, signal: AbortSignal): Promise<boolean | Unmatched>;
}

/** A body and what its server says of it. */
export interface Page {
  readonly bytes: Uint8Array;
  readonly contentType: string | null;
}

/** Why a body could not be matched, for a person. */
export class Unmatched {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

function unmatched({ unknown }: UnknownCharset): Unmatched {
  return new Unmatched(`its charset is not known: ${unknown}`);
}

/**
 * How much is matched on the spot: bytes times steps of the pattern's program. The most awkward patterns that were found take 0.2 µs
 * for each, so that this is at most some 6 ms (`npm run bench:matching`): a page of 2 KB with a pattern such as `price \d+`.
 */
const LITTLE_WORK = 32 * 1024;

export interface MatcherOptions {
  /** Whether there are patterns: under Deno, which stops for 20 ms to start a worker, they then start before anything is measured. */
  readonly isExpected?: boolean;
  readonly startNow?: boolean;
  /** How many workers there are, at most. */
  readonly workers?: number;
  /** Starts one; for tests. */
  readonly start?: () => Worker;
}

/**
 * A matcher whose workers start when they are first needed, or now, and do not keep the program alive while they have nothing to do.
 * What waits for a worker is a body of a check under way, so no more can wait than checks are allowed at the same time.
 */
export function openMatcher(
  {
    isExpected = false,
    startNow = isExpected && "Deno" in globalThis,
    workers = defaultWorkers(),
    start = () => startWorker(),
  }: MatcherOptions = {},
): Matcher {
  const waiting: Job[] = [];
  const threads = Array.from({ length: workers }, () => new Thread(start, waiting));
  if (startNow) threads.forEach((thread) => void thread.worker());
  return {
    async matches(pattern, page, limit, signal) {
      signal.throwIfAborted();
      if (page.bytes.length * pattern.size <= LITTLE_WORK) {
        const text = await textOf(page.bytes, page.contentType);
        return typeof text === "string" ? pattern.test(text) : unmatched(text);
      }
      const outcome = new Promise<boolean | Unmatched>((resolve, reject) => {
        const job: Job = {
          question: { source: pattern.source, bytes: aloneInItsBuffer(page.bytes), contentType: page.contentType },
          limit,
          signal,
          resolve,
          reject,
        };
        waiting.push(job);
        // One that runs already is preferred: another one costs memory.
        const free = threads.find((thread) => thread.isIdle) ?? threads.find((thread) => !thread.isBusy);
        free?.next();
      });
      return await unlessAborted(outcome, signal);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(threads.map((thread) => thread.end()));
    },
  };
}

/** One core belongs to the checks; beyond two workers the memory costs more than the time is worth. */
function defaultWorkers(): number {
  return navigator.hardwareConcurrency > 2 ? 2 : 1;
}

interface Job {
  readonly question: Question;
  /** Seconds. */
  readonly limit: number;
  readonly signal: AbortSignal;
  readonly resolve: (outcome: boolean | Unmatched) => void;
  readonly reject: (reason: unknown) => void;
}

/** One worker, started anew when it is needed again after it broke or was stopped, and the job that it does. */
class Thread {
  readonly #start: () => Worker;
  readonly #waiting: Job[];
  #worker: Worker | undefined;
  #isBusy = false;

  constructor(start: () => Worker, waiting: Job[]) {
    this.#start = start;
    this.#waiting = waiting;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  get isIdle(): boolean {
    return !this.#isBusy && this.#worker !== undefined;
  }

  /** Takes the job that has waited for longest, if there is one and this thread has none. */
  next(): void {
    if (this.#isBusy) return;
    const job = this.#waiting.shift();
    if (job === undefined) return;
    this.#isBusy = true;
    void this.#do(job).finally(() => {
      this.#isBusy = false;
      this.next();
    });
  }

  async end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  async #do(job: Job): Promise<void> {
    if (job.signal.aborted) return job.reject(job.signal.reason);
    try {
      const outcome = await this.#ask(job);
      job.resolve(typeof outcome === "boolean" ? outcome : unmatched(outcome));
    } catch (error) {
      if (job.signal.aborted) job.reject(job.signal.reason);
      else job.resolve(new Unmatched(error instanceof Error ? error.message : String(error)));
    }
  }

  /** The worker that runs, or one that starts now. It may end at any time, and then is not asked again. */
  worker(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = this.#start();
    this.#worker = worker;
    worker.on("error", () => {});
    worker.once("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    worker.unref();
    return worker;
  }

  /** Puts one question to the worker. Where no answer comes, the worker is stopped: nothing else ends a match under way. */
  async #ask({ question, limit, signal }: Job): Promise<Matched> {
    const worker = this.worker();
    const { promise, resolve, reject } = Promise.withResolvers<Matched>();
    const giveUp = () => reject(signal.reason);
    const late = () => reject(new Error(`the pattern was not done with it within ${limit} s`));
    const exit = () => reject(new Error("its worker ended"));
    const timer = setTimeout(late, limit * 1000);
    signal.addEventListener("abort", giveUp, { once: true });
    worker.once("message", resolve).once("error", reject).once("exit", exit);
    // Only while it works, the worker keeps the program alive.
    worker.ref();
    try {
      worker.postMessage(question, [question.bytes.buffer]);
      return await promise;
    } catch (error) {
      this.#worker = undefined;
      void worker.terminate();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
      worker.off("message", resolve).off("error", reject).off("exit", exit).unref();
    }
  }
}

/** What goes to a worker takes its whole buffer along, which may hold what belongs to others. */
function aloneInItsBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) return new Uint8Array(buffer);
  return new Uint8Array(bytes);
}
