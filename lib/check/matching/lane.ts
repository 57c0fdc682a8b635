import type { Worker } from "node:worker_threads";
import { type Job, Thread, Unmatched } from "./thread.ts";

export interface LaneOptions {
  /** The most workers. */
  readonly workers: number;
  readonly start: () => Worker;
  /** Seconds for one match, after which it is passed on. Null: each job has a limit of its own. */
  readonly budget: number | null;
  /** Bytes that may wait at the same time. */
  readonly mostBytes: number;
  /** Called with the seconds of a match; Infinity where it gave no answer. */
  note(job: Job, seconds: number): void;
  /** Takes over a job that was stopped because it took more than the lane's budget. */
  pass(job: Job): void;
}

/**
 * Jobs that wait for some workers. Jobs of hosts that are known to be quick go first, then the one
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

  /** Adds a job. It waits at most as long as it may take. */
  add(job: Job, isKnown: boolean): void {
    const size = job.question.bytes.byteLength;
    if (this.#bytes + size > this.#options.mostBytes) return job.resolve(new Unmatched(CROWDED, "missed"));
    const waiting: WaitingJob = { job, timer: setTimeout(() => this.#giveUp(waiting), job.limit * 1000) };
    this.#bytes += size;
    (isKnown ? this.#known : this.#others).add(waiting);
    // A worker that runs already is preferred: another one costs memory.
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

  /** Gives a thread the next job, if there is one, and so on. */
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
