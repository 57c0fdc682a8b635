import { count } from "../config/count.ts";
import type { ConsumerSession } from "../kafka/kafka.ts";
import type { Log } from "./log.ts";

/**
 * Milliseconds after a start until the log says why nothing is stored. Brokers may take 2 s to
 * answer.
 */
const ASK_AFTER = 7_000;

/** The progress of a consumer that has not stored anything yet. */
export interface StartProgress {
  /** Why it waits for Kafka or PostgreSQL, one text for each. */
  readonly troubles: readonly string[];
  /** True for a member of a consumer group, false for a reader of standard input. */
  readonly isMember: boolean;
  /** The session that it reads; null before the first one. */
  readonly session: ConsumerSession | null;
  /** Partition → messages that are not stored yet. Empty if nobody tells. */
  readonly lag: ReadonlyMap<number, number>;
}

/**
 * Says within 10 s of a start that messages arrive, or why none arrives. In the second case it says
 * later when they do.
 */
export class FirstRows implements Disposable {
  readonly #log: Log;
  readonly #timer: ReturnType<typeof setTimeout>;
  #isSaid = false;

  constructor(log: Log, ask: () => Promise<StartProgress>) {
    this.#log = log;
    this.#timer = setTimeout(() => {
      void ask().then((standing) => this.#isSaid || log.info(`Nothing is stored yet: ${whyNothing(standing)}`));
    }, ASK_AFTER);
  }

  /** A batch with so many messages was stored. */
  stored(messages: number): void {
    if (this.#isSaid || messages === 0) return;
    this[Symbol.dispose]();
    this.#log.info(`Messages arrive: the first ${count(messages, "message")} went to the database`);
  }

  [Symbol.dispose](): void {
    this.#isSaid = true;
    clearTimeout(this.#timer);
  }
}

/** Why a consumer has stored nothing since its start. */
export function whyNothing({ troubles, isMember, session, lag }: StartProgress): string {
  if (troubles.length > 0) return troubles.join("; ");
  if (session === null && !isMember) return "the database has only just been opened";
  if (session === null) {
    return "the consumer group has not shared out the topic's partitions yet; a member that was killed is waited for until its session times out";
  }
  const { partitions, topic } = session.assignment;
  if (partitions.length === 0) {
    return "the consumer group gave this consumer no partition: others have them all, and it takes over when one of them ends";
  }
  if (session.logEnds === undefined) return "no line has come on standard input";
  if (lag.size === 0) return "the brokers do not say how many messages there are";
  const waiting = [...lag.values()].reduce((sum, one) => sum + one, 0);
  if (waiting > 0) return `none of ${count(waiting, "message")} in the topic ${topic} has come`;
  const which = partitions.length === 1 ? "the partition" : `the ${partitions.length} partitions`;
  return partitions.every(({ logStart, logEnd }) => logStart === logEnd)
    ? `no message is in ${which} of the topic ${topic} that this consumer has: is the producer running?`
    : `nothing new is in ${which} of the topic ${topic} behind what the database has marked: is the producer running?`;
}
