import { CLIENT_ID, closedInTime, HEARTBEAT_EVERY, SESSION_LIMIT } from "../client_settings.ts";
import type { ConsumerOptions, KafkaOptions, ProducerOptions } from "../kafka.ts";
import { LOOK } from "./forgotten_brokers.ts";
import type { Librdkafka, NativeConsumer, NativePartition, NativeProducer, Settings } from "./library.ts";
import { PULL_WAIT } from "./poll_loop.ts";

/**
 * Bytes of a message that the library takes: more than any metric has, so that only the broker
 * refuses one.
 */
const MESSAGE_BYTES = 16 * 1024 * 1024;
/**
 * The longest time that the library allows between two pulls: a consumer that waits for its
 * database is not dead.
 */
const LONGEST_WORK = 86_400_000;

/** What every client of the library is opened with. */
function connectionSettings({ bootstrapServers, tls, sasl }: KafkaOptions): Settings {
  return {
    "client.id": CLIENT_ID,
    "bootstrap.servers": bootstrapServers.join(","),
    "reconnect.backoff.max.ms": 2000,
    "topic.metadata.refresh.interval.ms": 30_000,
    "statistics.interval.ms": LOOK,
    "security.protocol": `${sasl === undefined ? "" : "sasl_"}${tls === undefined ? "plaintext" : "ssl"}`,
    ...sasl === undefined ? {} : {
      "sasl.mechanisms": sasl.mechanism.toUpperCase(),
      "sasl.username": sasl.username,
      "sasl.password": sasl.password,
    },
    ...tls === undefined ? {} : {
      // By default the library verifies a certificate's chain, but not its name.
      "ssl.endpoint.identification.algorithm": "https",
      ...tls.ca === undefined ? { "ssl.ca.location": "probe" } : { "ssl.ca.pem": tls.ca },
      ...tls.key === undefined ? {} : { "ssl.key.pem": tls.key, "ssl.certificate.pem": tls.cert },
    },
  };
}

/** An idempotent producer that reports on every message. Not yet connected. */
export function newProducer(
  library: Librdkafka,
  options: Omit<ProducerOptions, "partitions">,
): NativeProducer {
  return new library.Producer({
    ...connectionSettings(options),
    "enable.idempotence": true,
    "acks": -1,
    "compression.codec": options.compression ?? "lz4",
    // Java's default, so that every producer puts an address into the same partition.
    "partitioner": "murmur2_random",
    "linger.ms": 5,
    // No time limit. If this client gave a message up, another client would send it. A broker
    // recognises a message that comes twice only if the same client sent it both times.
    "message.timeout.ms": 0,
    "message.max.bytes": MESSAGE_BYTES,
    "queue.buffering.max.kbytes": 65_536,
    "dr_cb": true,
  });
}

/**
 * Lets a client deliver its events, if it is connected. One that is being closed says that it is for
 * a moment longer, and throws.
 */
export function pollProducer(client: NativeProducer): void {
  if (!client.isConnected()) return;
  try {
    client.poll();
  } catch {
    // Nothing comes from it any more. The library's own timer ignores this too.
  }
}

/** Ends a client. It drops messages that it has not yet sent: nobody waits for them. */
export async function closeProducer(client: NativeProducer): Promise<void> {
  if (!client.isConnected()) return;
  await closedInTime(new Promise((closed) => client.disconnect(1, closed)));
}

/** Called when the group gives or takes partitions; the error tells which of the two. */
export type RebalanceListener = (
  error: { readonly code: number } | undefined,
  partitions: readonly NativePartition[],
) => void;

/** The callbacks of a client, which it makes during pulls only. */
export interface Listeners {
  readonly onRebalance: RebalanceListener;
  /** A commit was answered, or has failed. */
  readonly onCommit: () => void;
}

/** A client that is a member of the group and reads nothing. Not yet connected. */
export function newConsumer(
  library: Librdkafka,
  options: ConsumerOptions,
  { onRebalance, onCommit }: Listeners,
): NativeConsumer {
  const client = new library.KafkaConsumer({
    ...connectionSettings(options),
    "group.id": options.group,
    "enable.auto.commit": false,
    "enable.auto.offset.store": false,
    // Known to the other client too: members with either can share a group.
    "partition.assignment.strategy": "roundrobin",
    "session.timeout.ms": SESSION_LIMIT,
    "heartbeat.interval.ms": HEARTBEAT_EVERY,
    "max.poll.interval.ms": LONGEST_WORK,
    "rebalance_cb": onRebalance,
    "offset_commit_cb": onCommit,
  });
  client.setDefaultConsumeTimeout(PULL_WAIT);
  return client;
}

/** Leaves the group and ends a client. */
export async function closeConsumer(client: NativeConsumer): Promise<void> {
  if (!client.isConnected()) return;
  await closedInTime(new Promise((closed) => client.disconnect(closed)));
}
