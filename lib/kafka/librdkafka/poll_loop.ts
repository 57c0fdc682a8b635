import { setTimeout as delay } from "node:timers/promises";
import { promised } from "./connection.ts";
import type { NativeConsumer, NativeError, NativePartition } from "./library.ts";

/** Milliseconds that a pull waits, and so the longest delay of a stop. */
export const PULL_WAIT = 200;
/** Milliseconds between two pulls: the group's changes come with pulls only. */
const SERVE_EVERY = 300;
/** Milliseconds between two looks for the answers to the last commits. */
const LOOK_EVERY = 50;

/**
 * Pulls from a client, one pull at a time. The client has no partitions: a pull brings only the
 * group's news.
 */
export class PollLoop {
  readonly #client: NativeConsumer;
  readonly #timer: ReturnType<typeof setInterval>;
  #underWay: Promise<unknown> | undefined;

  /** `onError` hears of errors while nobody waits for the group's news. */
  constructor(client: NativeConsumer, onError: (error: NativeError) => void) {
    this.#client = client;
    this.#timer = setInterval(() => void (this.#underWay ?? this.#pull(onError)), SERVE_EVERY);
  }

  /**
   * Settles as `work` does, which the group's news will end, and pulls without a pause until then.
   * The news come while a pull waits for more: it must not keep them.
   */
  bring<T>(work: Promise<T>): Promise<T> {
    void this.#pullUntil(work);
    return work;
  }

  /**
   * Pulls until the commits are answered, and resolves when no call is under way. While a broker is
   * away, this may not happen.
   */
  async stop(commits: Pick<Commits, "areAnswered">): Promise<void> {
    clearInterval(this.#timer);
    await this.#settled();
    this.#client.setDefaultConsumeTimeout(0);
    while (!commits.areAnswered && this.#client.isConnected()) {
      await this.#pull();
      if (!commits.areAnswered) await delay(LOOK_EVERY);
    }
  }

  async #pullUntil(work: Promise<unknown>): Promise<void> {
    let isWaiting = true;
    const settle = () => void (isWaiting = false);
    work.then(settle, settle);
    await this.#settled();
    while (isWaiting) await (this.#underWay ?? this.#pull());
  }

  /** Never rejects. */
  async #pull(onError: (error: NativeError) => void = () => {}): Promise<void> {
    const pull = promised((done) => this.#client.consume(1, done)).catch(onError);
    this.#underWay = pull;
    await pull;
    this.#underWay = undefined;
  }

  /** Resolves when no call is under way. Another waiter may have begun the next call first. */
  async #settled(): Promise<void> {
    while (this.#underWay !== undefined) await this.#underWay;
  }
}

/**
 * The commits of one client, and whether all are answered. When the library leaves the group it
 * waits for the answers, without end where no broker gives them. A thread of the process would wait
 * too, and the process could not end.
 */
export class Commits {
  #unanswered = 0;

  /**
   * For the client's setting `offset_commit_cb`: a pull calls it once for each commit, failed or
   * not.
   */
  readonly answered = (): void => {
    this.#unanswered--;
  };

  get areAnswered(): boolean {
    return this.#unanswered === 0;
  }

  /**
   * Sends offsets in the background. They are a hint only: a commit that fails is not sent again.
   */
  send(client: Pick<NativeConsumer, "commit">, offsets: NativePartition[]): void {
    try {
      client.commit(offsets);
      this.#unanswered++;
    } catch {
      // The next commit tells more.
    }
  }
}
