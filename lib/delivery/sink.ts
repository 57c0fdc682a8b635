import type { Health } from "../async/health.ts";
import { printableJson } from "../config/terminal.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { describeTopic, kafkaAccess, openHealthily } from "../kafka/access.ts";
import type { Listener } from "../kafka/kafka.ts";
import { encodeMetric, type Metric } from "../metric.ts";
import type { CertificateStore } from "../net/certificate_store.ts";
import type { Sink } from "./delivery.ts";
import { TopicSink } from "./topic_sink.ts";

/** The topic's name in the health, beside Kafka itself. */
const TOPIC = "the topic";

/** A sink that is ready to open: settings and files have been checked. */
export interface SinkPlan {
  /** The destination of the metrics, for a person. */
  readonly description: string;
  /** The certificates for its connections; null if it has none. */
  readonly certificateStore: CertificateStore | null;
  /**
   * Begins to connect, without waiting for the broker. `health` hears whether it can be reached.
   */
  open(listener: Listener, health: Health): Sink;
}

/**
 * The sink that the settings name. `print` writes to standard output. Throws a `UsageError` if
 * files or client are unusable.
 */
export async function planSink(
  { kafka }: ProducerSettings,
  print: (text: string) => Promise<void>,
): Promise<SinkPlan> {
  if (kafka === null) {
    return {
      description: "standard output",
      certificateStore: null,
      open: () => new LineSink(print),
    };
  }
  const access = await kafkaAccess(kafka);
  if (!access.client.compressions.includes(kafka.compression)) {
    throw new UsageError([
      `--kafka-compression (KAFKA_COMPRESSION) is ${kafka.compression}, which this librdkafka was built without: write ` +
      `${access.client.compressions.join(" or ")}, or set --kafka-client (KAFKA_CLIENT) to javascript`,
    ]);
  }
  const options = { ...access.options, partitions: kafka.partitions, compression: kafka.compression };
  return {
    description: describeTopic(access),
    certificateStore: access.certificateStore,
    open(listener, health) {
      const open = (signal: AbortSignal) => (listen: Listener) => access.client.openProducer(options, listen, signal);
      return new TopicSink((signal) => openHealthily(open(signal), listener, health), (event, isTrouble) => {
        health.note(TOPIC, isTrouble ? event : null);
        listener(event, isTrouble);
      });
    },
  };
}

/** Writes metrics as JSON documents, one a line. */
export class LineSink implements Sink {
  readonly #print: (text: string) => Promise<void>;

  /** `print` resolves when the text is written. It rejects if nobody reads any more. */
  constructor(print: (text: string) => Promise<void>) {
    this.#print = print;
  }

  async send(metrics: readonly Metric[]): Promise<number> {
    await this.#print(metrics.map((metric) => `${printableJson(encodeMetric(metric))}\n`).join(""));
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
