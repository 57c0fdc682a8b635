import { batches } from "./batches.ts";
import { DeliveryError, type KafkaProducer, type OutgoingMessage } from "./kafka.ts";
import { encodeMetric, type Metric } from "./metric.ts";
import type { Queue } from "./queue.ts";
import { retry } from "./retry.ts";

/** Where metrics go. */
export interface Sink extends AsyncDisposable {
  /** Resolves when the other side has all of them. Waits where waiting helps, until `giveUp` aborts. */
  send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<void>;
}

/** What goes in one piece: whatever came while the last piece was on its way, at most so many, or what came within 20 ms. */
const LIMITS = { size: 1000, interval: 0.02 } as const;

/**
 * Sends what comes through `queue`, in order, until it has ended. `onDelivered` is told how many the other side has.
 * Throws what waiting cannot mend, and the last failure where `giveUp` aborts first.
 */
export async function deliver(
  queue: Queue<Metric>,
  sink: Sink,
  onDelivered: (count: number) => void,
  giveUp: AbortSignal,
): Promise<void> {
  for await (const batch of batches(queue, LIMITS)) {
    await sink.send(batch, giveUp);
    onDelivered(batch.length);
  }
}

/** What a person wants to know of a delivery. */
export interface DeliveryEvents {
  /** Kafka does not take metrics; said once, then it is tried again and again. */
  waiting(error: unknown): void;
  /** It takes them again, after so many seconds. */
  recovered(seconds: number): void;
}

/** Sends metrics to a Kafka topic. A metric that had to be sent twice has the same `check_id`, by which it is stored once. */
export class KafkaSink implements Sink {
  readonly #producer: KafkaProducer;
  readonly #events: DeliveryEvents;

  constructor(producer: KafkaProducer, events: DeliveryEvents) {
    this.#producer = producer;
    this.#events = events;
  }

  async send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<void> {
    let undelivered: readonly OutgoingMessage[] = metrics.map(toMessage);
    const send = async () => {
      try {
        await this.#producer.send(undelivered);
      } catch (error) {
        if (error instanceof DeliveryError) undelivered = error.undelivered;
        throw error;
      }
    };
    await retry(send, {
      signal: giveUp,
      isPassing: (error) => error instanceof DeliveryError,
      onWait: (error) => this.#events.waiting(error),
      onRecovery: (seconds) => this.#events.recovered(seconds),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#producer[Symbol.asyncDispose]();
  }
}

function toMessage(metric: Metric): OutgoingMessage {
  const checkedAt = metric.checked_at === null ? Date.now() : Date.parse(metric.checked_at);
  return { key: metric.address, value: encodeMetric(metric), timestamp: checkedAt };
}
