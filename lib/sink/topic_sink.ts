import type { Sink } from "../delivery.ts";
import { DeliveryError, type KafkaProducer, type OutgoingMessage } from "../kafka.ts";
import { encodeMetric, type Metric } from "../metric.ts";
import { retry } from "../retry.ts";
import { unlessAborted } from "../unless_aborted.ts";

/**
 * Sends metrics to a Kafka topic, keyed by their address, so that an address stays in one partition. A metric that had to be
 * sent twice has the same `check_id`, by which it is stored once.
 */
export class TopicSink implements Sink {
  readonly #closing = new AbortController();
  readonly #opening: Promise<KafkaProducer>;

  /** `open` may take as long as the broker is away, until its signal aborts: checks need not wait for it, only `send` does. */
  constructor(open: (signal: AbortSignal) => Promise<KafkaProducer>) {
    this.#opening = open(this.#closing.signal);
    // Thrown by `send`; unheeded until then, it would end the process as an unhandled rejection.
    this.#opening.catch(() => {});
  }

  async send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<void> {
    const producer = await unlessAborted(this.#opening, giveUp);
    let undelivered: readonly OutgoingMessage[] = metrics.map(toMessage);
    const send = async () => {
      try {
        await producer.send(undelivered);
      } catch (error) {
        if (error instanceof DeliveryError) undelivered = error.undelivered;
        throw error;
      }
    };
    await unlessAborted(retry(send, { signal: giveUp, isPassing: (error) => error instanceof DeliveryError }), giveUp);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the producer was closed"));
    await this.#opening.then((producer) => producer[Symbol.asyncDispose](), () => {});
  }
}

function toMessage(metric: Metric): OutgoingMessage {
  const checkedAt = metric.checked_at === null ? Date.now() : Date.parse(metric.checked_at);
  return { key: metric.address, value: encodeMetric(metric), timestamp: checkedAt };
}
