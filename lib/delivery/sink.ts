import type { Health } from "../async/health.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { describeTopic, kafkaAccess, openHealthily } from "../kafka/access.ts";
import type { Listener } from "../kafka/kafka.ts";
import type { CertificateStore } from "../net/certificate_store.ts";
import type { Sink } from "./delivery.ts";
import { LineSink } from "./line_sink.ts";
import { TopicSink } from "./topic_sink.ts";

/** What the health calls the topic, beside Kafka itself. */
const TOPIC = "the topic";

/** A sink that can be opened: everything that settings and files can have wrong has been looked at. */
export interface SinkPlan {
  /** Where metrics will go, for a person. */
  readonly description: string;
  /** The certificates for connections there; null: there are none. */
  readonly certificateStore: CertificateStore | null;
  /** Begins to connect, without waiting for it; `health` hears whether it can be reached. */
  open(listener: Listener, health: Health): Sink;
}

/**
 * The sink that the settings name; `print` writes to standard output. Throws a `UsageError` where
 * files or client are no good.
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
