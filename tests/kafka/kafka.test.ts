import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Start } from "../../lib/config/setting_types.ts";
import type {
  Assignment,
  ConsumerSession,
  FindPositions,
  IncomingMessage,
  KafkaClient,
  KafkaConsumer,
} from "../../lib/kafka/kafka.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { type KeyMaterial, loadKeyMaterial } from "../../lib/net/tls.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { each } from "../support/each.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { rawBatch, writeRaw } from "../support/raw_batches.ts";
import { placesAt } from "../support/log_positions.ts";

// The joining of a group and the start of a broker take seconds on a busy machine.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 120_000 });

const run = promisify(execFile);
const library = loadLibrdkafka();
const clients = ["javascript", "librdkafka"] as const;
const usable = clients.filter((name) => {
  return name === "javascript" || !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`);
});

const text = (bytes: Uint8Array | null) => bytes === null ? null : new TextDecoder().decode(bytes);
const quiet = () => {};
const untilStopped = AbortSignal.timeout(600_000);
const fromStart: FindPositions = ({ partitions }: Assignment) =>
  Promise.resolve(placesAt(partitions.map(({ partition, logStart }) => [partition, logStart])));

describe.runIf(canRunKafka())("Kafka", () => {
  let broker: KafkaServer;
  let tls: KeyMaterial;
  let count = 0;
  const newTopic = () => `topic-${++count}`;
  const options = (topic: string) => ({ bootstrapServers: [broker.mtls], topic, tls });

  beforeAll(async () => {
    broker = await temporaryKafka();
    tls = await material(broker.certificates);
  }, 120_000);
  afterAll(() => broker?.[Symbol.asyncDispose](), 30_000);

  /** Sends values `first` to `first` + `many` - 1, each under its own key out of ten. */
  async function produce(client: KafkaClient, topic: string, many: number, partitions = 3, first = 0): Promise<void> {
    await using producer = await client.openProducer({ ...options(topic), partitions }, quiet, untilStopped);
    await producer.send(Array.from({ length: many }, (_, n) => outgoing(first + n)));
  }

  async function openConsumer(client: KafkaClient, topic: string, start: Start = "earliest"): Promise<KafkaConsumer> {
    return await client.openConsumer({ ...options(topic), group: topic, start }, quiet, untilStopped);
  }

  /** The first `many` messages that a consumer gives. */
  async function read(consumer: KafkaConsumer, many: number, position = fromStart): Promise<IncomingMessage[]> {
    const stop = new AbortController();
    const messages: IncomingMessage[] = [];
    for await (const reading of consumer.readings(position, stop.signal)) {
      for await (const message of each(reading.messages)) {
        messages.push(message);
        if (messages.length === many) stop.abort();
      }
    }
    return messages;
  }

  describe.each(usable)("%s", (name) => {
    let client: KafkaClient;
    beforeAll(async () => void (client = await loadClient(name)));

    it("a producer's messages come back with key, value and timestamp", async () => {
      const topic = newTopic();
      await produce(client, topic, 5000);
      await using consumer = await openConsumer(client, topic);
      const messages = await read(consumer, 5000);
      const seen = messages.map(({ key, value, timestamp }) => ({ key: text(key), value: text(value), timestamp }));
      expect(seen.toSorted((a, b) => a.timestamp - b.timestamp)).toEqual(
        Array.from({ length: 5000 }, (_, n) => outgoing(n)),
      );
      expect(new Set(messages.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2]));
    });

    it("a reading begins at the positions given, in the middle of a batch", async () => {
      const topic = newTopic();
      await produce(client, topic, 100, 1);
      await using consumer = await openConsumer(client, topic);
      const [first] = await read(consumer, 1, () => Promise.resolve(placesAt([[0, 42]])));
      expect(first).toMatchObject({ partition: 0, offset: 42, timestamp: outgoing(42).timestamp });
    });

    it("a reading that is left early is followed by one from new positions, of the same partitions", async () => {
      const topic = newTopic();
      await produce(client, topic, 2000, 1);
      await using consumer = await openConsumer(client, topic);
      const begins = [1500, 10, 700];
      const stop = new AbortController();
      const offsets: number[] = [];
      for await (
        const reading of consumer.readings(() => Promise.resolve(placesAt([[0, begins.shift() ?? 0]])), stop.signal)
      ) {
        let got = 0;
        for await (const { offset } of each(reading.messages)) {
          offsets.push(offset);
          if (++got === 3) break;
        }
        if (begins.length === 0) stop.abort();
      }
      expect(offsets).toEqual([1500, 1501, 1502, 10, 11, 12, 700, 701, 702]);
    });

    it("a position out of range is asked for anew, though the other partitions have messages", async () => {
      const topic = newTopic();
      await produce(client, topic, 600, 2);
      await using consumer = await openConsumer(client, topic);
      const stop = new AbortController();
      const values = new Set<string | null>();
      let asked = 0;
      const position: FindPositions = ({ partitions }) =>
        Promise.resolve(
          placesAt(
            partitions.map(({ partition, logEnd }) => [partition, partition === 0 && asked++ < 2 ? logEnd + 9 : 0]),
          ),
        );
      for await (const reading of consumer.readings(position, stop.signal)) {
        for await (const { value } of each(reading.messages)) {
          values.add(text(value));
          if (values.size === 600) stop.abort();
        }
      }
      expect(values.size).toBe(600);
    });

    it.each<[Start, number | null]>([["earliest", null], ["latest", 10], [{ time: outgoing(7).timestamp }, 7], [
      { time: 4e12 },
      10,
    ]])(
      "an assignment tells the log and where --kafka-start %j begins",
      async (start, offset) => {
        const topic = newTopic();
        await produce(client, topic, 10, 1);
        await using consumer = await openConsumer(client, topic, start);
        const stop = new AbortController();
        let starts: ReadonlyMap<number, number> | undefined;
        const position: FindPositions = async (assignment) => {
          starts = await assignment.firstStarts?.();
          return await fromStart(assignment);
        };
        for await (const { assignment } of consumer.readings(position, stop.signal)) {
          expect(assignment.partitions).toEqual([{ partition: 0, logStart: 0, logEnd: 10 }]);
          stop.abort();
        }
        expect(starts).toEqual(offset === null ? undefined : new Map([[0, offset]]));
      },
    );

    it("consumers of a group share the partitions, and take over those of one that leaves", async () => {
      const topic = newTopic();
      await produce(client, topic, 10, 4);
      const [one, two] = [await openConsumer(client, topic), await openConsumer(client, topic)];
      const [first, second] = [follow(one), follow(two)];
      await expect.poll(() => [...first.partitions(), ...second.partitions()].toSorted(), { timeout: 30_000 }).toEqual([
        0,
        1,
        2,
        3,
      ]);
      await expect.poll(() => [first.partitions().length, second.partitions().length], { timeout: 30_000 }).toEqual([
        2,
        2,
      ]);
      await produce(client, topic, 100, 4, 10);
      await expect.poll(() => new Set([...first.values, ...second.values]).size, { timeout: 30_000 }).toBe(110);
      await second.stop();
      await two[Symbol.asyncDispose]();
      await expect.poll(() => first.partitions(), { timeout: 30_000 }).toEqual([0, 1, 2, 3]);
      await first.stop();
      await one[Symbol.asyncDispose]();
    }, 120_000);

    it("consumers of a group with a topic each have all partitions of their own", async () => {
      const topics = [newTopic(), newTopic()];
      for (const topic of topics) await produce(client, topic, 40, 4);
      const members = await Promise.all(
        topics.map((topic) =>
          client.openConsumer({ ...options(topic), group: `of-${topics[0]}`, start: "earliest" }, quiet, untilStopped)
        ),
      );
      const followed = members.map((member) => follow(member));
      for (const { partitions, values } of followed) {
        await expect.poll(partitions, { timeout: 30_000 }).toEqual([0, 1, 2, 3]);
        await expect.poll(() => new Set(values).size, { timeout: 30_000 }).toBe(40);
      }
      for (const each of followed) await each.stop();
      for (const member of members) await member[Symbol.asyncDispose]();
    }, 120_000);

    it("each consumer of a group tells where the logs of its own partitions end", async () => {
      const topic = newTopic();
      await (await client.openProducer({ ...options(topic), partitions: 5 }, quiet, untilStopped))
        [Symbol.asyncDispose]();
      const ends = new Map([[0, 3], [1, 40], [2, 7], [3, 129], [4, 1]]);
      for (const [partition, count] of ends) {
        const records = Array.from({ length: count }, () => ({ value: Buffer.from("v") }));
        await writeRaw(broker.plain, topic, [await rawBatch(records)], partition);
      }
      const stop = new AbortController();
      const consumers = [await openConsumer(client, topic), await openConsumer(client, topic)];
      const latest = new Map<KafkaConsumer, ConsumerSession>();
      const followed = consumers.map(async (consumer) => {
        for await (const reading of consumer.readings(fromStart, stop.signal)) {
          latest.set(consumer, reading);
          for await (const _ of reading.messages) { /* It is the ends that count. */ }
        }
      });
      const shares = () =>
        [...latest.values()].map(({ assignment }) => assignment.partitions.map((each) => each.partition));
      await expect.poll(() => shares().toSorted((a, b) => a.length - b.length).map(({ length }) => length), {
        timeout: 30_000,
      }).toEqual([2, 3]);
      for (const { assignment, logEnds } of latest.values()) {
        const own = assignment.partitions.map(({ partition }) => partition);
        expect(await logEnds?.()).toEqual(new Map(own.map((partition) => [partition, ends.get(partition)])));
        // The assignment has the log's ends at the time when it was given.
        expect(assignment.partitions.map(({ partition, logEnd }) => [partition, logEnd])).toEqual(
          own.map((partition) => [partition, ends.get(partition)]),
        );
      }
      // Each consumer gets every other one of five partitions. So neither has partitions 0, 1, …
      // without a gap.
      expect(shares().flat().toSorted()).toEqual([...ends.keys()]);
      stop.abort();
      await Promise.all(followed);
      for (const consumer of consumers) await consumer[Symbol.asyncDispose]();
    }, 120_000);

    it("a stop ends a reading that waits for messages, and the consumer", async () => {
      const topic = newTopic();
      await produce(client, topic, 1, 1);
      await using consumer = await openConsumer(client, topic, "latest");
      const followed = follow(consumer);
      await expect.poll(() => followed.partitions(), { timeout: 30_000 }).toEqual([0]);
      await followed.stop();
    });

    it("a reading that is over does not ask where its logs end any more", async () => {
      const topic = newTopic();
      await produce(client, topic, 10);
      const stop = new AbortController();
      let last: ConsumerSession | undefined;
      {
        await using consumer = await openConsumer(client, topic);
        for await (const reading of consumer.readings(fromStart, stop.signal)) {
          last = reading;
          expect((await reading.logEnds?.())?.size).toBe(3);
          stop.abort();
        }
      }
      // The client of librdkafka is gone by now. A question through it would end the process.
      await expect(last?.logEnds?.()).rejects.toThrow();
    });

    it("a topic that is missing is made only where --kafka-partitions says how", async () => {
      // The topic's name is also a word of TLS errors.
      const topic = `${newTopic()}-certificate`;
      const words =
        `The topic ${topic} does not exist: check --kafka-topic (KAFKA_TOPIC), or let the producer create it with ` +
        "--kafka-partitions (KAFKA_PARTITIONS)";
      const refused = { name: "KafkaSetupError", message: words };
      await expect(client.openProducer({ ...options(topic), partitions: null }, quiet, untilStopped)).rejects
        .toMatchObject(refused);
      await expect(openConsumer(client, topic)).rejects.toMatchObject(refused);
      await Promise.all([produce(client, topic, 20, 5), produce(client, topic, 20, 5)]);
      await using consumer = await openConsumer(client, topic);
      const followed = follow(consumer);
      await expect.poll(() => followed.partitions(), { timeout: 30_000 }).toEqual([0, 1, 2, 3, 4]);
      await followed.stop();
    });

    it("a broker that is away is waited for: said once, until the signal aborts", async () => {
      const events: string[] = [];
      const nobody = { ...options("t"), bootstrapServers: ["127.0.0.1:1"], partitions: null };
      const stop = new AbortController();
      const opening = client.openProducer(nobody, (event) => {
        events.push(event);
        setTimeout(() => stop.abort(), 500);
      }, stop.signal);
      await expect(opening).rejects.toThrow();
      expect(events).toEqual([
        expect.stringMatching(
          /^Kafka does not answer \(.*refused.*\): trying again; is KAFKA_BOOTSTRAP_SERVERS \(--kafka-bootstrap-servers\) right\?$/i,
        ),
      ]);
    });
  });

  it("every client puts a key into the same partition and tells the same topic id", async () => {
    const assignments: string[] = [];
    const topics = newTopic();
    for (const [at, name] of usable.entries()) await produce(await loadClient(name), topics, 50, 7, at * 50);
    for (const name of usable) {
      await using consumer = await openConsumer(await loadClient(name), topics);
      const stop = new AbortController();
      const keys = new Map<string | null, Set<number>>();
      let left = 50 * usable.length;
      for await (const reading of consumer.readings(fromStart, stop.signal)) {
        assignments.push(reading.assignment.topicId);
        for await (const { key, partition } of each(reading.messages)) {
          keys.set(text(key), (keys.get(text(key)) ?? new Set()).add(partition));
          if (--left === 0) stop.abort();
        }
      }
      expect([...keys.values()].map((partitions) => partitions.size)).toEqual(Array(10).fill(1));
    }
    expect(new Set(assignments).size).toBe(1);
    expect(assignments[0]).toMatch(/^[0-9a-f]{32}$/);
  });

  it("a script on Deno sends and reads over mutual TLS", async () => {
    const { caFile, keyFile, certFile } = broker.certificates;
    const script = fileURLToPath(new URL("../support/kafka_roundtrip.ts", import.meta.url));
    const { stdout } = await run("deno", ["run", "-A", script, broker.mtls, newTopic(), caFile, keyFile, certFile]);
    const { client, topicId, read } = JSON.parse(stdout);
    expect(client).toBe("javascript");
    expect(topicId).toMatch(/^[0-9a-f]{32}$/);
    expect(read).toEqual(Array.from({ length: 100 }, (_, n) => `k${n % 7} v${n} ${1000 + n}`).toSorted());
  }, 60_000);

  describe.each(usable)("%s, with the broker killed", (name) => {
    it("sending and reading go on when it is back", async () => {
      const client = await loadClient(name);
      const topic = newTopic();
      await produce(client, topic, 10, 2);
      await using consumer = await openConsumer(client, topic);
      await using producer = await client.openProducer({ ...options(topic), partitions: null }, quiet, untilStopped);
      const followed = follow(consumer);
      await expect.poll(() => followed.values.size, { timeout: 30_000 }).toBe(10);
      await broker.kill();
      const sending = producer.send(Array.from({ length: 500 }, (_, n) => outgoing(10 + n)));
      await Promise.all([broker.restart(), sending]);
      await expect.poll(() => followed.values.size, { timeout: 60_000 }).toBe(510);
      await followed.stop();
    }, 120_000);
  });
});

function outgoing(n: number) {
  return { key: `https://${n % 10}.example`, value: `value ${n}`, timestamp: 1_700_000_000_000 + n };
}

async function material(files: { caFile: string; keyFile: string; certFile: string }): Promise<KeyMaterial> {
  const loaded = await loadKeyMaterial(files);
  if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
  return loaded.material;
}

/** Reads in the background. Each reading goes on where the last one ended. */
function follow(consumer: KafkaConsumer) {
  const stop = new AbortController();
  const values = new Set<string | null>();
  const next = new Map<number, number>();
  let partitions: readonly number[] = [];
  const position: FindPositions = (assignment) =>
    Promise.resolve(
      placesAt(assignment.partitions.map(({ partition, logStart }) => [partition, next.get(partition) ?? logStart])),
    );
  const work = (async () => {
    for await (const reading of consumer.readings(position, stop.signal)) {
      partitions = reading.assignment.partitions.map(({ partition }) => partition);
      for await (const { partition, offset, value } of each(reading.messages)) {
        next.set(partition, offset + 1);
        values.add(text(value));
      }
      partitions = [];
    }
  })();
  return {
    values,
    partitions: () => [...partitions],
    stop: async () => {
      stop.abort();
      await work;
    },
  };
}
