import { setTimeout as delay } from "node:timers/promises";
import type { Commits } from "./commits.ts";
import { promised } from "./connection.ts";
import type { NativeConsumer, NativeMessage, NativePartition } from "./library.ts";

/** Messages of one pull, and the milliseconds that it waits for the first: also the longest delay of a stop. */
export const PULL_COUNT = 1000;
export const PULL_WAIT = 200;
/** Milliseconds without a pull after which the client is served by a timer: the group's changes come with pulls only. */
const IDLE_LIMIT = 500;
/** Milliseconds between two looks for the answers to the last commits. */
const SERVE_EVERY = 50;

/** Pulls messages, one call at a time, and serves the client while nobody pulls. */
export class Puller {
  readonly #client: NativeConsumer;
  readonly #timer: ReturnType<typeof setInterval>;
  #reading: readonly NativePartition[] = [];
  #underWay: Promise<readonly NativeMessage[]> | undefined;
  #lastPull = performance.now();
  #isPaused = false;
  #spare: readonly NativeMessage[] = [];
  #failure: unknown;

  constructor(client: NativeConsumer) {
    this.#client = client;
    this.#timer = setInterval(() => void this.#serve(), IDLE_LIMIT);
  }

  /**
   * From now on pulls give these partitions from these offsets. Waits for a pull under way first: it might take the
   * first messages, and they would be missing. Does nothing where `stop` aborts meanwhile: they are somebody else's then.
   */
  async open(partitions: readonly NativePartition[], stop: AbortSignal): Promise<void> {
    await this.#settled();
    if (stop.aborted) return;
    this.forget();
    this.#reading = partitions;
    this.#client.assign([...partitions]);
    // A partition that was paused stays so, also when it is assigned anew.
    if (partitions.length > 0) this.#client.resume([...partitions]);
  }

  /** What has come, or nothing after a short wait, nor where `stop` aborts before it begins. */
  async pull(stop: AbortSignal): Promise<readonly NativeMessage[]> {
    await this.#settled();
    if (stop.aborted) return [];
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    if (this.#isPaused && this.#reading.length > 0) this.#client.resume([...this.#reading]);
    this.#isPaused = false;
    const spare = this.#spare;
    this.#spare = [];
    return spare.length > 0 ? spare : await this.#consume(PULL_COUNT);
  }

  /** Waits for `work`, which the group's news bring about; while nothing is read, nobody else would ask for them at once. */
  async bring<T>(work: Promise<T>): Promise<T> {
    let isWaiting = true;
    const settle = () => void (isWaiting = false);
    work.then(settle, settle);
    for (await this.#settled(); isWaiting; await this.#settled()) await this.#consume(1).catch(() => {});
    return await work;
  }

  /** The partitions are no longer this client's. */
  forget(): void {
    this.#reading = [];
    this.#isPaused = false;
    this.#spare = [];
    this.#failure = undefined;
  }

  /** Serves until the commits are answered, and resolves when no call is under way; this may be never, or not while a broker is away. */
  async stop(commits: Pick<Commits, "areAnswered">): Promise<void> {
    clearInterval(this.#timer);
    await this.#settled();
    this.#client.setDefaultConsumeTimeout(0);
    while (!commits.areAnswered && this.#client.isConnected()) {
      await this.#consume(1).catch(() => {});
      if (!commits.areAnswered) await delay(SERVE_EVERY);
    }
  }

  /** A reader that is busy for long does not pull; then partitions are paused, and a pull brings only the group's news. */
  async #serve(): Promise<void> {
    if (this.#underWay !== undefined || performance.now() - this.#lastPull < IDLE_LIMIT) return;
    const reading = this.#reading;
    try {
      if (!this.#isPaused && reading.length > 0) this.#client.pause([...reading]);
      this.#isPaused = true;
      const came = await this.#consume(1);
      // None, since all is paused; but one that were dropped here would be a hole in the reading.
      if (reading === this.#reading) this.#spare = [...this.#spare, ...came];
    } catch (error) {
      // The library says it once: it is the reader's.
      if (reading === this.#reading) this.#failure = error;
    }
  }

  async #consume(count: number): Promise<readonly NativeMessage[]> {
    this.#underWay = promised<readonly NativeMessage[]>((done) => this.#client.consume(count, done));
    try {
      return await this.#underWay;
    } finally {
      this.#underWay = undefined;
      this.#lastPull = performance.now();
    }
  }

  /** Resolves when no call is under way. One that waited as well may have begun the next call first. */
  async #settled(): Promise<void> {
    while (this.#underWay !== undefined) await this.#underWay.catch(() => {});
  }
}
