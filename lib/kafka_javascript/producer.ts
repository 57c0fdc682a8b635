import { compatibilityPartitioner, type MessageToProduce, Producer } from "@platformatic/kafka";
import { DeliveryError, type KafkaProducer, type OutgoingMessage, type ProducerOptions } from "../kafka.ts";
import { KafkaSetupError } from "../kafka.ts";
import { asSetupError, connectionOptions, reason } from "./connection.ts";
import { CLOSE_LIMIT, DELIVERY_LIMIT, type Troubles, within } from "../kafka/setup.ts";
import { unlessAborted } from "../unless_aborted.ts";

/** Bytes of one request: all of it may be of one partition, and a broker takes 1 MiB of that by default. */
const REQUEST_BYTES = 512 * 1024;
/** Milliseconds between two tries; so many tries that the limit of time comes first. */
const RETRY_DELAY = 300;
const RETRIES = 10_000;

/** Sends with the library's idempotent producer, one request to each broker at a time: that keeps the order. */
export class JavascriptProducer implements KafkaProducer {
  readonly #options: ProducerOptions;
  readonly #troubles: Troubles;
  readonly #closing = new AbortController();
  #producer: Producer | undefined;
  #onRetry: (error: Error) => void = () => {};

  constructor(options: ProducerOptions, troubles: Troubles) {
    this.#options = options;
    this.#troubles = troubles;
  }

  async send(messages: readonly OutgoingMessage[]): Promise<void> {
    for (let sent = 0; sent < messages.length;) {
      const chunk = nextChunk(messages, sent);
      sent += chunk.length;
      const { unconfirmed, error } = await this.#sendChunk(chunk);
      if (error instanceof KafkaSetupError) throw error;
      if (unconfirmed.length > 0) throw undelivered([...unconfirmed, ...messages.slice(sent)], error);
    }
    this.#troubles.settle("Kafka takes messages again");
  }

  /** Sends what fits one request; gives what no broker confirmed in time, and why. */
  async #sendChunk(chunk: readonly OutgoingMessage[]): Promise<{ unconfirmed: OutgoingMessage[]; error?: unknown }> {
    const producer = this.#producer ??= this.#open();
    const failed = new AbortController();
    this.#onRetry = (error) => this.#consider(error, failed);
    const stop = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(DELIVERY_LIMIT), failed.signal]);
    const partitions = new Map<OutgoingMessage, number>();
    try {
      await unlessAborted(this.#produce(producer, chunk, partitions), stop);
      return { unconfirmed: [] };
    } catch (error) {
      // A new one next time: this one may still be trying, and its numbering no longer fits what comes then.
      this.#producer = undefined;
      await within(CLOSE_LIMIT, producer.close(true));
      const confirmed = confirmedPartitions(error);
      const unconfirmed = chunk.filter((message) => !confirmed.has(partitions.get(message) ?? -1));
      return { unconfirmed, error: asSetupError(error, this.#options.topic) ?? error };
    }
  }

  /** Notes the partition of each message in `partitions`: an answer confirms partitions, not messages. */
  async #produce(
    producer: Producer,
    chunk: readonly OutgoingMessage[],
    partitions: Map<OutgoingMessage, number>,
  ): Promise<void> {
    const { topic } = this.#options;
    const count = (await producer.metadata({ topics: [topic] })).topics.get(topic)?.partitionsCount ?? 1;
    const messages = chunk.map((message) => outgoing(topic, message, count));
    chunk.forEach((message, at) => partitions.set(message, messages[at]?.partition ?? -1));
    await producer.send({ messages });
  }

  /** Looks at what makes the library try again: nobody else hears of it before the last try. */
  #consider(error: Error, failed: AbortController): void {
    const setup = asSetupError(error, this.#options.topic);
    if (setup !== null) failed.abort(setup);
    else this.#troubles.report(`Kafka does not take messages (${reason(error)}): trying again`);
  }

  #open(): Producer {
    return new Producer({
      ...connectionOptions(this.#options),
      idempotent: true,
      // The one that both runtimes and librdkafka have without more to install.
      compression: "lz4",
      retries: RETRIES,
      retryDelay: (_client, _operation, _attempt, _retries, error) => {
        this.#onRetry(error);
        return RETRY_DELAY;
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the producer was closed"));
    if (this.#producer !== undefined) await within(CLOSE_LIMIT, this.#producer.close(true));
  }
}

/** The messages from `start` on that fit one request: at least one. */
function nextChunk(messages: readonly OutgoingMessage[], start: number): readonly OutgoingMessage[] {
  let bytes = 0;
  let end = start;
  while (end < messages.length && (end === start || bytes < REQUEST_BYTES)) {
    const { key, value } = messages[end++] as OutgoingMessage;
    // At most three bytes a UTF-16 unit; what a record costs beside its content is far below the slack.
    bytes += (key.length + value.length) * 3;
  }
  return messages.slice(start, end);
}

function outgoing(topic: string, { key, value, timestamp }: OutgoingMessage, partitions: number): MessageToProduce {
  const message = { topic, key: Buffer.from(key), value: Buffer.from(value), timestamp: BigInt(timestamp) };
  // Java's default, and librdkafka's murmur2_random: the library's own default differs where the hash is negative.
  return { ...message, partition: compatibilityPartitioner(message, message.key) % partitions };
}

/** The partitions that brokers confirmed though the request as a whole failed: in its partial results, and in each answer. */
function confirmedPartitions(error: unknown): ReadonlySet<number> {
  const confirmed = new Set<number>();
  const { produced, response, errors } = Object(error) as PartialFailure;
  for (const { partition } of produced?.offsets ?? []) confirmed.add(partition);
  for (const { index, errorCode } of response?.responses?.flatMap((topic) => topic.partitionResponses ?? []) ?? []) {
    if (errorCode === 0) confirmed.add(index);
  }
  for (const inner of errors ?? []) confirmedPartitions(inner).forEach((partition) => confirmed.add(partition));
  return confirmed;
}

interface PartialFailure {
  readonly produced?: { readonly offsets?: readonly { readonly partition: number }[] };
  readonly response?: {
    readonly responses?: readonly {
      readonly partitionResponses?: readonly { readonly index: number; readonly errorCode: number }[];
    }[];
  };
  readonly errors?: readonly unknown[];
}

function undelivered(messages: readonly OutgoingMessage[], error: unknown): DeliveryError {
  const text = `${messages.length} messages were not confirmed by Kafka: ${reason(error)}`;
  return new DeliveryError(text, messages, { cause: error });
}
