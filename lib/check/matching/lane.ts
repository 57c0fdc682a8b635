import type { Worker } from "node:worker_threads";
import { type Job, Thread, Unmatched } from "./thread.ts";

export interface LaneOptions {
  /** How many workers there are, at most. */
  readonly workers: number;
  readonly start: () => Worker;
  /** Seconds for one match, beyond which it is passed on. Null: as long as each job says. */
  readonly budget: number | null;
  /** Bytes that may wait at one time. */
  readonly mostBytes: number;
  /** Told how long a match took; Infinity where it came to no answer. */
  note(job: Job, seconds: number): void;
  /** Takes over a job that took more than the lane's budget, and was stopped. */
  pass(job: Job): void;
}

/**
 * Jobs that wait for some workers. Those of hosts that are known to be quick go first; else the one
 * that has waited longest.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #threads: readonly Thread[];
  readonly #known = new Set<WaitingJob>();
  readonly #others = new Set<WaitingJob>();
  #bytes = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#threads = Array.from({ length: options.workers }, () => new Thread(options.start));
  }

  /** Starts its workers. */
  start(): void {
    for (const thread of this.#threads) thread.worker();
  }

  /** Lets a job wait for as long as it may take, at most. */
  add(job: Job, isKnown: boolean): void {
    const size = job.question.bytes.byteLength;
    if (this.#bytes + size > this.#options.mostBytes) return job.resolve(new Unmatched(CROWDED, "missed"));
    const waiting: WaitingJob = { job, timer: setTimeout(() => this.#giveUp(waiting), job.limit * 1000) };
    this.#bytes += size;
    (isKnown ? this.#known : this.#others).add(waiting);
    // One that runs already is preferred: another one costs memory.
    const free = this.#threads.find((thread) => thread.isIdle) ?? this.#threads.find((thread) => !thread.isBusy);
    if (free !== undefined) this.#next(free);
  }

  async end(): Promise<void> {
    for (const { timer } of [...this.#known, ...this.#others]) clearTimeout(timer);
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  #giveUp(waiting: WaitingJob): void {
    this.#leave(waiting);
    waiting.job.resolve(new Unmatched(`it had no turn within ${waiting.job.limit} s: others take too long`, "missed"));
  }

  #leave(waiting: WaitingJob): void {
    clearTimeout(waiting.timer);
    this.#bytes -= waiting.job.question.bytes.byteLength;
    this.#known.delete(waiting);
    this.#others.delete(waiting);
  }

  /** Gives a thread the job that is next, if there is one, and so on. */
  #next(thread: Thread): void {
    const [waiting] = this.#known.size > 0 ? this.#known : this.#others;
    if (waiting === undefined) return;
    this.#leave(waiting);
    void this.#do(waiting.job, thread).finally(() => this.#next(thread));
  }

  async #do(job: Job, thread: Thread): Promise<void> {
    if (job.signal.aborted) return job.reject(job.signal.reason);
    const { budget } = this.#options;
    const outcome = await thread.ask(job, budget !== null && budget < job.limit ? budget : null);
    if (outcome === null) return this.#options.pass(job);
    if (job.signal.aborted) return job.reject(job.signal.reason);
    this.#options.note(job, outcome.seconds);
    job.resolve(outcome.answer);
  }
}

const CROWDED = "too many pages wait for their turn: others take too long";

interface WaitingJob {
  readonly job: Job;
  readonly timer: ReturnType<typeof setTimeout>;
}
