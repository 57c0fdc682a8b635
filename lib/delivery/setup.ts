import type { Health } from "../async/health.ts";
import { count } from "../config/count.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { describeTopic, kafkaAccess, openHealthily, producerGroup } from "../kafka/access.ts";
import type { Listener, ProducerGroup } from "../kafka/kafka.ts";
import type { CertificateStore } from "../net/certificate_store.ts";
import { LineSink, MemoryOutbox, type Outbox, type Sink } from "./delivery.ts";
import { Spool, type SpoolEvents } from "./spool.ts";
import { TopicSink } from "./topic_sink.ts";

// What the settings ask for: where metrics wait, and where they go.

/** Metrics that wait in memory while Kafka is away, some 50 MB. Beyond them the oldest give way. */
const MOST_IN_MEMORY = 100_000;
/** Bytes of metrics that wait in a spool: some two million. Beyond them the oldest give way. */
const MOST_ON_DISK = 2 ** 30;

/**
 * Opens the outbox that the settings ask for: on disk, or in memory only. Throws as `Spool.open`
 * does.
 */
export async function openOutbox(
  { kafka, spool, mode }: ProducerSettings,
  events: SpoolEvents & { info(text: string): void },
): Promise<Outbox> {
  const mostInMemory = mode === "once" ? Infinity : MOST_IN_MEMORY;
  if (spool === null || kafka === null) return new MemoryOutbox(mostInMemory);
  const outbox = await Spool.open(spool, { topic: kafka.topic, mostInMemory, mostOnDisk: MOST_ON_DISK, events });
  const { waiting } = outbox.figures;
  const wait = waiting === 1 ? "waits" : "wait";
  events.info(`${count(waiting, "metric")} of an earlier run ${wait} in the spool ${spool}`);
  return outbox;
}

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
  /** The group of producers that the settings name; null: there is none. Connects to nothing yet. */
  group(listener: Listener, health: Health): Promise<ProducerGroup> | null;
}

/**
 * The sink that the settings name. `print` writes to standard output. Throws a `UsageError` if
 * files or client are unusable.
 */
export async function planSink(
  { kafka, group, location }: ProducerSettings,
  print: (text: string) => Promise<void>,
): Promise<SinkPlan> {
  if (kafka === null) {
    return {
      description: "standard output",
      certificateStore: null,
      open: () => new LineSink(print),
      group: () => null,
    };
  }
  const access = await kafkaAccess(kafka);
  if (!access.client.compressions.includes(kafka.compression)) {
    throw new UsageError([
      `--kafka-compression (KAFKA_COMPRESSION) is ${kafka.compression}, which this librdkafka was built without: write ` +
      `${access.client.compressions.join(" or ")}, or set --kafka-client (KAFKA_CLIENT) to javascript`,
    ]);
  }
  const id = group === null ? null : groupId(group, kafka.topic, location);
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
    group: (listener, health) => id === null ? null : producerGroup(access, id, listener, health),
  };
}

/**
 * The name that Kafka knows a group of producers by. Each place has a group of its own, and each
 * topic too: only a member that has the topic can tell how many partitions it has.
 */
export function groupId(group: string, topic: string, location: string | null): string {
  return ["host-checker-producers", topic, group, ...location === null ? [] : [location]].join(".");
}
