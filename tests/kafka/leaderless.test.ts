import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Producer } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { FindPositions, KafkaClient } from "../../lib/kafka/kafka.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { Topic } from "../faults/topic.ts";
import { each } from "../support/each.ts";
import { eventually } from "../support/eventually.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { placesAt } from "../support/log_positions.ts";

// A broker that has lost one of its two disks: the partitions on it have no leader until it is back.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const library = loadLibrdkafka();
const usable = (["javascript", "librdkafka"] as const).filter((name) =>
  name === "javascript" || !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`)
);
const untilStopped = AbortSignal.timeout(600_000);
const PARTITIONS = [0, 1, 2, 3];

describe.runIf(canRunKafka())("A partition that nobody leads", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-leaderless-"));
  const disks = ["one", "two"].map((name) => join(folder, name));
  let broker: KafkaServer;

  beforeAll(async () => {
    for (const disk of disks) mkdirSync(disk);
    const settings = {
      "log.dirs": disks.join(),
      "metadata.log.dir": join(folder, "metadata"),
      // The groups are all kept on one disk. The tests must not take away that disk.
      "offsets.topic.num.partitions": "1",
    };
    broker = await temporaryKafka({ settings });
  }, 120_000);
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  async function write(topic: Topic): Promise<void> {
    const producer = new Producer({ clientId: "tests", bootstrapBrokers: [broker.plain], idempotent: true });
    const messages = Array.from({ length: 40 }, (_, n) => {
      return { topic: topic.name, partition: n % PARTITIONS.length, value: Buffer.from(`${n % PARTITIONS.length}`) };
    });
    await producer.send({ messages, acks: -1 });
    await producer.close();
  }

  it("does not keep the others from being read, and is read when it is led again, with each client", async () => {
    await using stack = new AsyncDisposableStack();
    const readers = await Promise.all(usable.map(async (name) => {
      const topic = new Topic(broker.plain, `leaderless-${name}`);
      await topic.create(PARTITIONS.length);
      await write(topic);
      return new Reader(await loadClient(name), topic, broker);
    }));
    const all = (work: (reader: Reader) => Promise<void>) => Promise.all(readers.map(work));
    stack.defer(async () => void await all((reader) => reader.stop()));

    await all(async (reader) => {
      reader.start();
      await reader.has(PARTITIONS, 10);
      await write(reader.topic);
      await reader.has(PARTITIONS, 20);
      await reader.stop();
    });

    const lost = disks.find((disk) => !existsSync(join(disk, "__consumer_offsets-0"))) as string;
    const isLost = (topic: Topic, partition: number) => existsSync(join(`${lost}.away`, `${topic.name}-${partition}`));
    await broker.kill();
    renameSync(lost, `${lost}.away`);
    writeFileSync(lost, "");
    await broker.restart();

    await all(async (reader) => {
      const led = PARTITIONS.filter((partition) => !isLost(reader.topic, partition));
      expect(led.length).toBeGreaterThan(0);
      expect(led.length).toBeLessThan(PARTITIONS.length);
      reader.start();
      await reader.has(led, 20);
      expect(reader.assigned).toEqual(led);
      expect(reader.heard.filter((what) => what.startsWith("Nobody leads partition"))).not.toEqual([]);
    });
    await broker.kill();
    rmSync(lost);
    renameSync(`${lost}.away`, lost);
    // The broker may have made empty logs for its missing partitions on the other disk. It does not
    // start while there are two logs.
    const other = disks.find((disk) => disk !== lost) as string;
    for (const log of readdirSync(lost)) {
      if (log.startsWith("leaderless-")) rmSync(join(other, log), { recursive: true, force: true });
    }
    await broker.restart();
    await all((reader) => reader.has(PARTITIONS, 20));
  });
});

/** A consumer that can be stopped, and then started again at the first messages. */
class Reader {
  readonly #client: KafkaClient;
  readonly #broker: KafkaServer;
  readonly topic: Topic;
  readonly heard: string[] = [];
  assigned: readonly number[] = [];
  #next = new Map<number, number>();
  #stop = new AbortController();
  #reading: Promise<void> | undefined;

  constructor(client: KafkaClient, topic: Topic, broker: KafkaServer) {
    this.#client = client;
    this.topic = topic;
    this.#broker = broker;
  }

  start(): void {
    this.#next = new Map();
    this.#stop = new AbortController();
    this.#reading = this.#read(this.#stop.signal);
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { name } = this.topic;
    const options = { bootstrapServers: [this.#broker.plain], topic: name, group: name, start: "earliest" } as const;
    const position: FindPositions = ({ partitions }) => {
      this.assigned = partitions.map(({ partition }) => partition);
      return Promise.resolve(placesAt(partitions.map(({ partition }) => [partition, this.#next.get(partition) ?? 0])));
    };
    const listener = (what: string) => void this.heard.push(what);
    await using consumer = await this.#client.openConsumer(options, listener, untilStopped);
    for await (const reading of consumer.readings(position, signal)) {
      for await (const { partition, offset } of each(reading.messages)) this.#next.set(partition, offset + 1);
    }
  }

  /** Waits until it has read these partitions to `end`. */
  async has(partitions: readonly number[], end: number): Promise<void> {
    const isThere = () => partitions.every((partition) => this.#next.get(partition) === end);
    const lacks = () =>
      `${JSON.stringify([...this.#next])} instead of ${end} of ${partitions}\n${this.heard.join("\n")}`;
    await eventually(isThere, lacks, { timeout: 60_000 });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }
}
