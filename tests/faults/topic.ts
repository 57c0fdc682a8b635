import { Admin, Consumer, Producer } from "@platformatic/kafka";
import { numberIn } from "./numbers.ts";
import { type Persistence, persistently } from "./persistently.ts";

/** The wait for a broker that is not ready yet. */
const BROKER: Persistence = { tries: 100, pause: 300 };

/** The beginning of a large message that is no metric. */
export const LARGE = "no metric large";

/** A message as it stands in the log. */
export interface Logged {
  readonly offset: number;
  /** Null where the message is not the generator's. */
  readonly number: number | null;
}

/**
 * A topic seen from outside. Its methods do what an operator, retention and other programs do to
 * it.
 */
export class Topic {
  readonly name: string;
  readonly #bootstrap: string;

  constructor(bootstrap: string, name: string) {
    this.#bootstrap = bootstrap;
    this.name = name;
  }

  get #options() {
    return { clientId: "faults", bootstrapBrokers: [this.#bootstrap], retries: 3, retryDelay: 200 };
  }

  async #ask<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    return await persistently(async () => {
      const admin = new Admin(this.#options);
      try {
        return await work(admin);
      } finally {
        await admin.close().catch(() => {});
      }
    }, BROKER);
  }

  async create(partitions: number): Promise<void> {
    await this.#ask(async (admin) => {
      if ((await admin.listTopics()).includes(this.name)) return;
      await admin.createTopics({ topics: [this.name], partitions, replicas: 1 });
    });
    await this.describe();
  }

  async delete(): Promise<void> {
    await this.#ask(async (admin) => {
      if ((await admin.listTopics()).includes(this.name)) await admin.deleteTopics({ topics: [this.name] });
      if ((await admin.listTopics()).includes(this.name)) throw new Error("It is still there");
    });
  }

  /** The topic's id, as the marks have it, and its number of partitions. */
  async describe(): Promise<{ id: string; uuid: string; partitions: number }> {
    return await this.#ask(async (admin) => {
      const found = (await admin.metadata({ topics: [this.name], forceUpdate: true })).topics.get(this.name);
      if (found === undefined || found.partitions.some(({ leader }) => leader < 0)) {
        throw new Error("It is not there yet");
      }
      return { id: found.id.replaceAll("-", ""), uuid: found.id, partitions: found.partitionsCount };
    });
  }

  async addPartitions(count: number): Promise<void> {
    await this.#ask((admin) => admin.createPartitions({ topics: [{ name: this.name, count, assignments: null }] }));
  }

  async configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const configs = Object.entries(settings).map(([name, value]) => ({ name, value, configOperation: 0 as const }));
    const resources = [{ resourceType: 2 as const, resourceName: this.name, configs }];
    await this.#ask((admin) => admin.incrementalAlterConfigs({ resources }));
  }

  /** Deletes the messages below an offset, as retention does. */
  async deleteBelow(partition: number, offset: number): Promise<void> {
    const partitions = [{ partition, offset: BigInt(offset) }];
    await this.#ask((admin) => admin.deleteRecords({ topics: [{ name: this.name, partitions }] }));
  }

  /** The offset at which the log of a partition begins (-2) or ends (-1). */
  async bound(partition: number, which: -1 | -2): Promise<number> {
    const partitions = [{ partitionIndex: partition, timestamp: BigInt(which) }];
    const [found] = await this.#ask((admin) => admin.listOffsets({ topics: [{ name: this.name, partitions }] }));
    return Number(found?.partitions[0]?.offset ?? 0);
  }

  /** Sets the committed offsets of a group to the beginning. The group must be empty. */
  async resetGroup(groupId: string): Promise<void> {
    const { partitions } = await this.describe();
    const partitionOffsets = Array.from({ length: partitions }, (_, partition) => ({ partition, offset: 0n }));
    await this.#ask((admin) =>
      admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: this.name, partitionOffsets }] })
    );
  }

  /** Makes every member of a group join again under a new name. */
  async evict(groupId: string): Promise<void> {
    await this.#ask((admin) => admin.removeMembersFromConsumerGroup({ groupId }));
  }

  /**
   * The messages of a partition from an offset to the end, whoever wrote them. The read needs no
   * group.
   */
  async read(partition: number, from: number): Promise<Logged[]> {
    return await persistently(() => this.#read(partition, from), BROKER);
  }

  async #read(partition: number, from: number): Promise<Logged[]> {
    const { uuid } = await this.describe();
    const end = await this.bound(partition, -1);
    const messages: Logged[] = [];
    const consumer = new Consumer({ ...this.#options, groupId: "faults-audit" });
    try {
      const limits = { maxWaitTime: 200, minBytes: 1, maxBytes: 8 << 20, isolationLevel: 0 as const };
      for (let offset = Math.max(from, await this.bound(partition, -2)); offset < end;) {
        const epochs = { currentLeaderEpoch: -1, lastFetchedEpoch: -1 };
        const question = { partition, fetchOffset: BigInt(offset), partitionMaxBytes: 8 << 20, ...epochs };
        const answer = await consumer.fetch({
          node: 1,
          topics: [{ topicId: uuid, partitions: [question] }],
          ...limits,
        });
        const batches = answer.responses.flatMap((topic) => topic.partitions).flatMap(({ records }) => records ?? []);
        for (const batch of batches) {
          for (const { offsetDelta, value } of batch.records) {
            const at = Number(batch.firstOffset) + offsetDelta;
            if (at >= offset) messages.push({ offset: at, number: numberIn(value) });
          }
        }
        const last = batches.at(-1);
        if (last !== undefined) offset = Number(last.firstOffset) + last.lastOffsetDelta + 1;
      }
      return messages;
    } finally {
      await consumer.close(true).catch(() => {});
    }
  }

  /** A foreign program writes `count` messages to each partition, all under one key. */
  async fill(count: number): Promise<void> {
    await persistently(() => this.#fill(count), BROKER);
  }

  async #fill(count: number): Promise<void> {
    const { partitions } = await this.describe();
    await using producer = this.#producer({});
    for (let partition = 0; partition < partitions; partition++) {
      const messages = this.#foreign(count, "filler").map((message) => ({ ...message, partition }));
      for (let sent = 0; sent < count; sent += 2000) {
        await producer.send({ messages: messages.slice(sent, sent + 2000) });
      }
    }
  }

  /**
   * A foreign program writes one message of so many megabytes, compressed. It begins with `label`
   * and a dot.
   */
  async sendLarge(label: string, megabytes: number, compression: "gzip" | "lz4" | "snappy" | "zstd"): Promise<void> {
    await persistently(() => this.#sendLarge(label, megabytes, compression), BROKER);
  }

  async #sendLarge(label: string, megabytes: number, compression: "gzip" | "lz4" | "snappy" | "zstd"): Promise<void> {
    const { partitions } = await this.describe();
    await using producer = this.#producer({ compression });
    const value = Buffer.alloc(megabytes * 1024 * 1024, "x");
    value.write(`${label}.`);
    const message = { topic: this.name, key: Buffer.from("large"), value, timestamp: BigInt(Date.now()) };
    await producer.send({ messages: [{ ...message, partition: Math.floor(Math.random() * partitions) }] });
  }

  /** A foreign program writes `count` messages in a transaction, and then aborts it. */
  async abortTransaction(count: number): Promise<void> {
    await persistently(() => this.#abortTransaction(count), BROKER);
  }

  async #abortTransaction(count: number): Promise<void> {
    await using producer = this.#producer({ transactionalId: `foreign-${crypto.randomUUID()}`, idempotent: true });
    const transaction = await producer.beginTransaction();
    await transaction.send({ messages: this.#foreign(count, "aborted") });
    await transaction.abort();
  }

  #producer(more: object) {
    const producer = new Producer({ ...this.#options, ...more });
    return Object.assign(producer, { [Symbol.asyncDispose]: () => producer.close(true).catch(() => {}) });
  }

  #foreign(count: number, what: string) {
    const value = Buffer.from(JSON.stringify({ address: what, status_code: 200, latency: -0, is_valid: true }));
    return Array.from({ length: count }, (_, n) => {
      const key = Buffer.from(what === "filler" ? what : `${what}${n}`);
      return { topic: this.name, key, value, timestamp: BigInt(Date.now()) };
    });
  }
}
