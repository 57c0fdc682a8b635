import { randomUUID } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Producer } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Start } from "../../lib/config/setting_types.ts";
import { transfer } from "../../lib/ingest/transfer.ts";
import { SecondLook } from "../../lib/kafka/javascript/second_look.ts";
import type {
  AssignedPartition,
  Assignment,
  IncomingMessage,
  KafkaClient,
  KafkaConsumer,
  LogPosition,
} from "../../lib/kafka/kafka.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { Topic } from "../faults/topic.ts";
import { each } from "../support/each.ts";
import { newEmbedded } from "../support/embedded.ts";
import { eventually } from "../support/eventually.ts";
import { readTopic } from "../support/topic_reader.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";

// The log of a real broker: where reading begins, holes, and a log that lost its end.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const library = loadLibrdkafka();
const usable = (["javascript", "librdkafka"] as const).filter((name) =>
  name === "javascript" || !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`)
);
const untilStopped = AbortSignal.timeout(600_000);
const quiet = () => {};
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const metric = (address: string) => JSON.stringify({ address, status_code: 200, latency: 1, is_valid: true });

describe.runIf(canRunKafka())("The log of a topic", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-kafka-log-"));
  let broker: KafkaServer;
  let database: Database;

  beforeAll(async () => {
    [broker, database] = await Promise.all([temporaryKafka(), openEmbedded(await newEmbedded(join(folder, "data")))]);
  }, 120_000);
  afterAll(async () => {
    await Promise.all([broker?.[Symbol.asyncDispose](), database?.[Symbol.asyncDispose]()]);
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  async function makeTopic(partitions: number): Promise<Topic> {
    const topic = new Topic(broker.plain, `log-${randomUUID().slice(0, 8)}`);
    await topic.create(partitions);
    return topic;
  }

  /** Writes one metric for each address, to the partitions in turn. */
  async function write(topic: Topic, addresses: readonly string[], timestamp = Date.now()): Promise<void> {
    const { partitions } = await topic.describe();
    const producer = new Producer({ clientId: "tests", bootstrapBrokers: [broker.plain], idempotent: true });
    const messages = addresses.map((address, n) => {
      const partition = n % partitions;
      return { topic: topic.name, partition, value: Buffer.from(metric(address)), timestamp: BigInt(timestamp) };
    });
    await producer.send({ messages, acks: -1 });
    await producer.close();
  }

  /**
   * Writes each round of `texts` in a transaction, and aborts every third. Gives the committed
   * texts.
   */
  async function transact(topic: Topic, rounds: readonly string[][]): Promise<string[]> {
    const options = { clientId: "tests", bootstrapBrokers: [broker.plain], idempotent: true, retries: 10 };
    const producer = new Producer({ ...options, transactionalId: randomUUID() });
    const committed: string[] = [];
    for (const [round, texts] of rounds.entries()) {
      const transaction = await producer.beginTransaction();
      const messages = texts.map((text) => ({ topic: topic.name, partition: 0, value: Buffer.from(metric(text)) }));
      await transaction.send({ messages });
      if (round % 3 === 2) await transaction.abort();
      else {
        await transaction.commit();
        committed.push(...texts);
      }
    }
    await producer.close();
    return committed;
  }

  /** The work of a consumer with a table of its own. It can be stopped and started again. */
  async function worker(client: KafkaClient, topic: Topic, start: Start, change = (same: KafkaConsumer) => same) {
    const table = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { main, offsets } = quoteTables(table);
    const store = await Store.open(database, table);
    const told = { reopened: [] as string[], lost: [] as string[], heard: [] as string[] };
    const events = {
      waiting: quiet,
      recovered: quiet,
      began: quiet,
      stored: quiet,
      replayed: quiet,
      lost: (what: string) => void told.lost.push(what),
      reopened: (why: string) => void told.reopened.push(why),
    };
    const column = async (sql: string) => (await database.query<{ value: string }>(sql)).map(({ value }) => value);
    const rows = () => column(`select address as value from ${main} order by address`);
    return {
      told,
      rows,
      marks: () => column(`select next_offset::text as value from ${offsets} order by moved_at, partition`),
      async has(addresses: readonly string[]): Promise<void> {
        const wanted = addresses.toSorted().join();
        const words = async () => (await rows()).join();
        let last = "";
        const isSame = async () => (last = await words()) === wanted;
        await eventually(isSame, () => `${last}\ninstead of\n${wanted}\n${JSON.stringify(told)}`, { timeout: 60_000 });
      },
      async run(work: () => Promise<void>): Promise<void> {
        const stop = new AbortController();
        const options = { bootstrapServers: [broker.plain], topic: topic.name, group: topic.name, start };
        await using consumer = await client.openConsumer(options, (what) => told.heard.push(what), untilStopped);
        const limits = { size: 100, interval: 0.01 };
        const running = transfer(change(consumer), store, { limits, stop: stop.signal, giveUp: stop.signal, events });
        await Promise.race([work(), running.then(() => Promise.reject(new Error("It ended")))]);
        stop.abort();
        await running.catch(quiet);
      },
    };
  }

  describe.each(usable)("with %s", (name) => {
    let client: KafkaClient;
    beforeAll(async () => void (client = await loadClient(name)));

    it.each<{ start: (now: number) => Start; what: string }>([
      { what: "latest", start: () => "latest" },
      { what: "a time", start: (now) => ({ time: now }) },
    ])("is left out before --kafka-start ($what) only where its name is new to the table", async ({ start }) => {
      const topic = await makeTopic(2);
      const now = Date.now();
      const addresses = (what: string, many: number) => range(0, many).map((n) => `${what} ${n}`);
      await write(topic, addresses("old", 20), now - 60_000);
      const here = await worker(client, topic, start(now));
      const expected: string[] = [];
      await here.run(async () => {
        await eventually(async () => (await here.marks()).length === 2, () => "No marks are made");
        expect(await here.marks()).toEqual(["10", "10"]);
        await write(topic, addresses("first", 10));
        expected.push(...addresses("first", 10));
        await here.has(expected);
      });
      // Nobody reads now. Metrics go to the old partitions and to the added ones. Their times are
      // before `start`.
      await topic.addPartitions(4);
      await write(topic, addresses("added", 40), now - 60_000);
      expected.push(...addresses("added", 40));
      await here.run(async () => {
        await here.has(expected);
        await topic.addPartitions(5);
        await write(topic, addresses("live", 50), now - 60_000);
        expected.push(...addresses("live", 50));
        await here.has(expected);
      });
      await topic.delete();
      await topic.create(3);
      await write(topic, addresses("again", 30), now - 60_000);
      expected.push(...addresses("again", 30));
      await here.run(() => here.has(expected));
      expect(here.told.lost).toEqual([]);
    });

    it("shows the holes of transactions, which are believed at once", async () => {
      const topic = await makeTopic(1);
      const rounds = range(0, 30).map((round) => range(0, 1 + round % 4).map((n) => `${round}/${n}`));
      const committed = await transact(topic, rounds);
      const here = await worker(client, topic, "earliest");
      await here.run(async () => {
        await here.has(committed);
        // These messages come one by one, each behind the mark of a transaction.
        for (const round of range(100, 104)) committed.push(...await transact(topic, [[`${round}`]]));
        await here.has(committed);
      });
      expect(here.told.reopened).toEqual([]);
    });

    it("shows messages in a hole that a client made behind one that is lawful, and none is lost", async () => {
      const topic = await makeTopic(1);
      const committed = await transact(topic, [["a", "b", "c"]]);
      await write(topic, range(0, 40).map((n) => `m${n}`));
      let readings = 0;
      // When the reader has believed a first hole, its second reading loses ten messages that the
      // log holds.
      const losing = (consumer: KafkaConsumer): KafkaConsumer => ({
        commit: (positions) => consumer.commit(positions),
        [Symbol.asyncDispose]: () => Promise.resolve(),
        async *readings(position, signal) {
          for await (const reading of consumer.readings(position, signal)) {
            const isWrong = readings++ === 0;
            const messages = async function* (): AsyncGenerator<IncomingMessage[], void> {
              for await (const some of reading.messages) {
                yield some.filter(({ offset }) => !isWrong || offset < 20 || offset > 29);
              }
            };
            yield { ...reading, messages: messages() };
          }
        },
      });
      const here = await worker(client, topic, "earliest", losing);
      await here.run(() => here.has([...committed, ...range(0, 40).map((n) => `m${n}`)]));
      expect(here.told.reopened).toEqual(["partition 0 went on at offset 30 instead of 20"]);
    });
  });

  // All cases run at once, since a broker takes its time to end and to start.
  it("is read again from where it was cut, though it has grown beyond what was read, with each client", async () => {
    const cases = await Promise.all(usable.flatMap((name) =>
      [
        { consumer: "the same consumer", from: 30 },
        // It knows of the cut by the epoch that stands with the mark.
        { consumer: "another consumer", from: 30 },
        // Another consumer has gone back to the cut meanwhile, and has stored all messages up to
        // 45.
        { consumer: "a consumer that comes late", from: 45 },
      ].map(async ({ consumer, from }) => {
        const topic = await makeTopic(1);
        await write(topic, range(0, 30).map((n) => `kept ${n}`));
        const [log, copy] = [join(broker.data, `${topic.name}-0`), join(folder, topic.name)];
        return { what: `${name}, ${consumer}`, name, consumer, from, topic, log, copy };
      })
    ));
    await broker.kill();
    for (const { log, copy } of cases) cpSync(log, copy, { recursive: true });
    await broker.restart();
    for (const { topic } of cases) await write(topic, range(30, 50).map((n) => `lost ${n}`));

    const isCut = Promise.withResolvers<void>();
    const readers = await Promise.all(cases.map(async ({ name, topic, consumer, from, what }) => {
      const client = await loadClient(name);
      const read50 = Promise.withResolvers<void>();
      const values: string[] = [];
      const cuts: unknown[] = [];
      let mark: LogPosition = { offset: 0, epoch: null };
      const find = async ({ partitions }: Assignment) => {
        if (mark.offset === 50) {
          read50.resolve();
          await isCut.promise;
          if (from > 30) mark = await placeAfter(client, topic, from - 1);
        }
        const [{ cut } = {} as AssignedPartition] = partitions;
        if (cut !== undefined) {
          expect(cut.from).toEqual(mark);
          cuts.push(cut.to.offset);
        }
        mark = cut?.to ?? mark;
        return new Map(partitions.map(({ partition }) => [partition, mark]));
      };
      const read = async (many: number) => {
        const options = { bootstrapServers: [broker.plain], topic: topic.name, group: topic.name };
        await using opened = await client.openConsumer({ ...options, start: "earliest" }, quiet, untilStopped);
        const stop = new AbortController();
        for await (const reading of opened.readings(find, stop.signal)) {
          for await (const { offset, epoch = null, value } of each(reading.messages)) {
            values.push(JSON.parse(new TextDecoder().decode(value ?? undefined)).address);
            mark = { offset: offset + 1, epoch };
            if (values.length === 50) break;
            if (values.length === many) stop.abort();
          }
          await opened.commit(new Map([[0, mark]]));
          if (values.length === many) stop.abort();
        }
      };
      const done = async () => {
        if (consumer === "another consumer") {
          await read(50);
          read50.resolve();
          await isCut.promise;
        }
        await read(50 + 70 - from);
        return { what, values: values.slice(50), cuts };
      };
      return { read50: read50.promise, done: done() };
    }));
    const all = Promise.all(readers.map(({ done }) => done));
    await Promise.race([Promise.all(readers.map(({ read50 }) => read50)), all]);
    await broker.kill();
    for (const { log, copy } of cases) {
      rmSync(log, { recursive: true });
      cpSync(copy, log, { recursive: true });
    }
    await broker.restart();
    for (const { topic } of cases) await write(topic, range(30, 70).map((n) => `new ${n}`));
    isCut.resolve();
    expect(await all).toEqual(
      cases.map(({ what, from }) => {
        return { what, values: range(from, 70).map((n) => `new ${n}`), cuts: from > 30 ? [] : [30] };
      }),
    );
  });

  /** The place behind a message, as its reader knows it. */
  async function placeAfter(client: KafkaClient, { name }: Topic, offset: number): Promise<LogPosition> {
    const messages = await readTopic(client, { bootstrapServers: [broker.plain], topic: name });
    const { epoch = null } = messages.find((message) => message.offset === offset) ?? {};
    return { offset: offset + 1, epoch };
  }

  it("is looked at a second time, for many holes with one answer", async () => {
    const topic = await makeTopic(1);
    await transact(topic, range(0, 9).map((round) => [`${round}`, `${round}!`]));
    // Each round has two messages and a mark. Every third round is aborted.
    const { id } = await topic.describe();
    await using look = new SecondLook({ bootstrapServers: [broker.plain], topic: topic.name });
    const isHole = (from: number, to: number) => look.isHole(id, 0, from, to);
    expect(await Promise.all([isHole(2, 3), isHole(5, 9), isHole(23, 27)])).toEqual([true, true, true]);
    expect([await isHole(1, 3), await isHole(2, 4), await isHole(5, 10), await isHole(26, 28)]).toEqual(
      Array(4).fill(false),
    );
    await expect(look.isHole("0".repeat(31) + "1", 0, 2, 3)).rejects.toThrow();
  });
});
