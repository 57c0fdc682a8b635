import { Admin, Producer } from "@platformatic/kafka";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { temporaryKafka } from "./kafka.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { type Running, start } from "./programs.ts";
import { writeRaw } from "./raw_batches.ts";
import type { Variant } from "./variants.ts";

/** A message as a topic has it. A null value is a tombstone. */
export interface RawMessage {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** A broker and a database, and programs in between. */
export interface Services extends AsyncDisposable {
  readonly broker: KafkaServer;
  readonly postgres: TestPostgres;
  /** A new name, for a topic and a table. */
  newName(): string;
  createTopic(topic: string, partitions?: number): Promise<void>;
  /** Writes messages to a topic of one partition, unchanged and in their order. */
  write(topic: string, messages: readonly RawMessage[]): Promise<void>;
  /** Writes batches unchanged (raw_batches.ts). */
  writeRaw(topic: string, batches: readonly Buffer[]): Promise<void>;
  /** A consumer of the topic. It writes into the table with the same name. */
  consume(variant: Variant, topic: string, env?: Readonly<Record<string, string>>): Running;
}

/** The longest message that the topics take. The consumer asks for less at a time. */
const LARGEST = 16 * 1024 * 1024;

/** `largest` is the number of bytes of the longest batch that the broker takes. */
export async function openServices(largest = LARGEST): Promise<Services> {
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await temporaryKafka({ settings: { "message.max.bytes": String(largest) } }));
  const postgres = stack.use(await startPostgres({ own: true }));
  const kafka = { clientId: "tests", bootstrapBrokers: [broker.plain] };
  let count = 0;
  const { host, port, name, user } = postgres.settings;
  const common = { DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: user };
  const owned = stack.move();
  return {
    broker,
    postgres,
    newName: () => `way_${++count}`,
    async createTopic(topic, partitions = 1) {
      const admin = new Admin({ ...kafka, retries: 5 });
      await admin.createTopics({ topics: [topic], partitions, replicas: 1 });
      await admin.close();
    },
    async write(topic, messages) {
      const producer = new Producer(kafka);
      for (const { key, value } of messages) {
        const record = { topic, key: Buffer.from(key), timestamp: BigInt(Date.parse("2026-01-01")) };
        // An absent value is a tombstone.
        await producer.send({ messages: [value === null ? record : { ...record, value: Buffer.from(value) }] });
      }
      await producer.close();
    },
    writeRaw: (topic, batches) => writeRaw(broker.plain, topic, batches),
    consume({ runtime, client }, topic, env = {}) {
      const own = { KAFKA_BOOTSTRAP_SERVERS: broker.plain, KAFKA_TOPIC: topic, KAFKA_GROUP: `${topic}-${++count}` };
      const settings = { ...common, ...own, KAFKA_CLIENT: client, DB_TABLE: topic, DB_BATCH_INTERVAL: "0.2", ...env };
      return start(runtime, "consumer", [], { env: settings, input: "" });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
