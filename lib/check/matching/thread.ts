import { addAbortListener } from "node:events";
import type { Worker } from "node:worker_threads";
import type { UnknownCharset } from "./text.ts";
import type { MatchQuestion, Message } from "./worker.ts";

/** Why a body could not be matched, for a person, and the error of its check. */
export class Unmatched {
  readonly reason: string;
  /** `missed` where the host is not to blame: others kept it waiting. */
  readonly error: "body" | "missed";

  constructor(reason: string, error: "body" | "missed" = "body") {
    this.reason = reason;
    this.error = error;
  }
}

/** A body to match in a worker. */
export interface Job {
  readonly question: MatchQuestion;
  /** Whose body it is. */
  readonly who: string;
  /** Seconds that it may take; it may wait for as long. */
  readonly limit: number;
  readonly signal: AbortSignal;
  readonly resolve: (outcome: boolean | Unmatched) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The outcome of a job, and its seconds since the worker had begun. Infinity where no answer came.
 */
export interface MatchOutcome {
  readonly answer: boolean | Unmatched;
  readonly seconds: number;
}

/**
 * One worker, and the job that it does. A worker that broke or was stopped is started anew when it
 * is needed again.
 */
export class Thread {
  readonly #start: () => Worker;
  #worker: Worker | undefined;
  #isBusy = false;

  constructor(start: () => Worker) {
    this.#start = start;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  get isIdle(): boolean {
    return !this.#isBusy && this.#worker !== undefined;
  }

  async end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  /**
   * The worker that runs, or one that starts now. It may end at any time, and is not asked again
   * then.
   */
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

  /**
   * Lets the worker do a job. Without an answer the worker is stopped, since nothing else ends a
   * match under way. Null where the match took more than `budget` seconds since its beginning. The
   * job's bytes are still there then.
   */
  async ask(job: Job, budget: number | null): Promise<MatchOutcome | null> {
    this.#isBusy = true;
    try {
      return await this.#ask(job, budget);
    } catch (error) {
      if (error === TOO_SLOW) return null;
      const answer = error === ENDED
        ? new Unmatched(ENDED.message, "missed")
        : new Unmatched(error instanceof Error ? error.message : String(error));
      return { answer, seconds: Infinity };
    } finally {
      this.#isBusy = false;
    }
  }

  async #ask({ question, limit, signal }: Job, budget: number | null): Promise<MatchOutcome> {
    const worker = this.worker();
    const { promise, resolve, reject } = Promise.withResolvers<MatchOutcome>();
    let [begun, timerOfBudget]: [number, ReturnType<typeof setTimeout> | undefined] = [performance.now(), undefined];
    const hear = (message: Message) => {
      if (message !== "begun") {
        const answer = typeof message === "boolean" ? message : unknownCharset(message);
        return resolve({ answer, seconds: (performance.now() - begun) / 1000 });
      }
      begun = performance.now();
      if (budget !== null) timerOfBudget = setTimeout(() => reject(TOO_SLOW), budget * 1000);
    };
    const late = () => reject(new Error(`the pattern was not done with it within ${limit} s`));
    const exit = () => reject(ENDED);
    const timer = setTimeout(late, limit * 1000);
    using _listening = addAbortListener(signal, () => reject(signal.reason));
    worker.on("message", hear).once("error", reject).once("exit", exit);
    // The worker keeps the program alive only while it works.
    worker.ref();
    try {
      // Transferred bytes cost no copy. But a job with a budget may be asked again, and keeps its
      // bytes.
      worker.postMessage(question, budget === null ? [question.bytes] : []);
      return await promise;
    } catch (error) {
      this.#worker = undefined;
      void worker.terminate();
      throw error;
    } finally {
      clearTimeout(timer);
      clearTimeout(timerOfBudget);
      worker.off("message", hear).off("error", reject).off("exit", exit).unref();
    }
  }
}

/** A worker that ended without an error: no page does that, so its host is not to blame. */
const ENDED = new Error("its worker ended");
const TOO_SLOW = new Error("the match took more than its budget");

/** The outcome for a page whose charset is not known. */
export function unknownCharset({ unknown }: UnknownCharset): Unmatched {
  return new Unmatched(`its charset is not known: ${unknown}`);
}
