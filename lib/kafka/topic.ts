import { retry, type RetryOptions } from "../async/retry.ts";
import { isPassing, MissingTopicError } from "./setup_errors.ts";

/** What the brokers say of a topic. */
export interface TopicDescription {
  /**
   * 32 hexadecimal digits, or `cluster-id/topic` where the broker has no topic ids. A topic that is
   * deleted and made again has another id. The consumer compares ids in consumer_assignment.ts and, while it
   * reads, in javascript/fetch.ts.
   */
  readonly id: string;
  /** How many partitions the whole topic has. */
  readonly partitions: number;
  /** The partitions that have no leader for the moment. */
  readonly leaderless: readonly number[];
}

/**
 * The questions about a topic, through either library. Their errors are explained (`ErrorReader`).
 */
export interface TopicQuestions {
  /** Rejects with a `MissingTopicError` where the topic does not exist. */
  identifyTopic(): Promise<TopicDescription>;
  /** Leaves a topic as it is that exists already. */
  createTopic(partitions: number): Promise<void>;
}

/**
 * Makes sure that a producer's topic exists and can be written to. Creates it where `partitions`
 * says how.
 */
export async function ensureTopic(
  questions: TopicQuestions,
  topic: string,
  partitions: number | null,
  waits: RetryOptions,
): Promise<void> {
  const look = async () => {
    const { leaderless } = await questions.identifyTopic();
    if (leaderless.length > 0) throw new Error(`A partition of ${topic} has no leader`);
  };
  try {
    await retry(look, waits);
  } catch (error) {
    if (!(error instanceof MissingTopicError) || partitions === null) throw error;
    await questions.createTopic(partitions);
    // Its absence passes now: one broker has made it, and the others will hear of it.
    const isWaiting = (error: unknown) => error instanceof MissingTopicError || isPassing(error);
    await retry(look, { signal: waits.signal, isPassing: isWaiting });
  }
}

/** A topic's id in the two halves that librdkafka gives. */
export interface IdHalves {
  readonly mostSignificantBits: bigint;
  readonly leastSignificantBits: bigint;
}

/**
 * The id of a topic as 32 hexadecimal digits. One client tells it as UUID text, the other as two
 * signed halves. Both must give the same, else a group of both clients would store everything
 * twice. Null for text that is no UUID, and for an id of zeros: the broker has no topic ids (Kafka
 * before 2.8).
 */
export function topicIdHex(id: string | IdHalves): string | null {
  const digits = typeof id === "string" ? id.replaceAll("-", "").toLowerCase() : halvesToHex(id);
  return /^[0-9a-f]{32}$/.test(digits) && !/^0+$/.test(digits) ? digits : null;
}

function halvesToHex({ mostSignificantBits, leastSignificantBits }: IdHalves): string {
  return [mostSignificantBits, leastSignificantBits]
    .map((half) => BigInt.asUintN(64, half).toString(16).padStart(16, "0"))
    .join("");
}
