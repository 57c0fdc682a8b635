import { createRequire } from "node:module";
import process from "node:process";

/**
 * The part of `@confluentinc/kafka-javascript` that is in use. Its own types are deliberately not
 * imported: it is an optional dependency, and without its add-on there are none.
 */
export interface Librdkafka {
  /** The parts that it was built with, such as `zstd`. */
  readonly features: readonly string[];
  readonly Producer: new (settings: Settings) => NativeProducer;
  readonly KafkaConsumer: new (settings: Settings) => NativeConsumer;
  readonly AdminClient: { createFrom(client: NativeClient): NativeAdmin };
  readonly OffsetSpec: new (timestamp: number) => object;
}

/** librdkafka's settings, by its names (CONFIGURATION.md of librdkafka), and callbacks. */
export type Settings = Readonly<Record<string, unknown>>;

export interface NativeError extends Error {
  /** Of the Kafka protocol where positive, of librdkafka where negative. */
  readonly code: number;
  readonly isFatal?: boolean;
}

export type Callback<T> = (error: NativeError | null | undefined, result: T) => void;

export interface NativeClient {
  connect(options: { timeout: number; allTopics: boolean }, done: Callback<unknown>): void;
  isConnected(): boolean;
  on(event: "event.error", listener: (error: NativeError) => void): void;
  on(event: "event.log", listener: (line: { readonly fac: string; readonly message: string }) => void): void;
  on(event: "event.stats", listener: (look: { readonly message: string }) => void): void;
  on(event: "delivery-report", listener: Callback<{ readonly opaque: unknown }>): void;
  removeAllListeners(event: "event.error" | "event.log" | "event.stats"): void;
}

export interface NativeProducer extends NativeClient {
  produce(topic: string, partition: null, value: Uint8Array, key: string, timestamp: number, opaque: unknown): void;
  poll(): void;
  setPollInterval(milliseconds: number): void;
  disconnect(flushFor: number, done: Callback<unknown>): void;
}

export interface NativeConsumer extends NativeClient {
  setDefaultConsumeTimeout(milliseconds: number): void;
  subscribe(topics: string[]): void;
  consume(count: number, done: Callback<readonly unknown[]>): void;
  assign(partitions: NativePartition[]): void;
  unassign(): void;
  commit(offsets: NativePartition[]): void;
  disconnect(done: Callback<unknown>): void;
}

export interface NativePartition {
  readonly topic: string;
  readonly partition: number;
  readonly offset?: number;
  /** The leader's epoch of the message before the offset, for a commit. */
  readonly leaderEpoch?: number;
}

export interface NativeAdmin {
  createTopic(topic: NewTopic, timeout: number, done: Callback<unknown>): void;
  describeTopics(topics: string[], options: { timeout: number }, done: Callback<readonly Description[]>): void;
  listOffsets(
    partitions: readonly { readonly topic: string; readonly partition: number; readonly offset: object }[],
    options: { timeout: number; isolationLevel: number },
    done: Callback<
      readonly {
        readonly partition: number;
        readonly offset: number;
        readonly error?: NativeError;
      }[]
    >,
  ): void;
}

interface NewTopic {
  readonly topic: string;
  readonly num_partitions: number;
  readonly replication_factor: number;
}

interface Description {
  readonly error?: NativeError;
  readonly topicId: { readonly mostSignificantBits: bigint; readonly leastSignificantBits: bigint };
  readonly partitions: readonly { readonly partition: number; readonly leader: unknown }[];
}

/** The add-on, or why it cannot be loaded here. */
export function loadLibrdkafka(): Librdkafka | { readonly missing: string } {
  // Not tried under Deno: it would ask for rights, and fail.
  if ("Deno" in globalThis) return { missing: "Deno cannot load the add-on, which is built for Node" };
  try {
    return createRequire(import.meta.url)("@confluentinc/kafka-javascript") as Librdkafka;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "MODULE_NOT_FOUND") return { missing: "its add-on is not installed: npm ci could not build it" };
    return { missing: `its add-on does not fit Node ${process.versions.node} (${message.split("\n", 1)[0]})` };
  }
}
