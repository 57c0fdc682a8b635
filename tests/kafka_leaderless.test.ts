import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Producer } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Position } from "../lib/kafka.ts";
import { loadClient } from "../lib/kafka_client.ts";
import { loadLibrdkafka } from "../lib/kafka_librdkafka/library.ts";
import type { KafkaServer } from "../tools/kafka/kafka.ts";
import { Topic } from "./faults/topic.ts";
import { each } from "./support/each.ts";
import { eventually } from "./support/eventually.ts";
import { canRunKafka, skipped, temporaryKafka } from "./support/kafka.ts";

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
      // All groups are kept on one disk, which is not to be the one that is lost.
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

  it.each(usable)(
    "does not keep the others from being read with %s, and is read when it is led again",
    async (name) => {
      const client = await loadClient(name);
      const topic = new Topic(broker.plain, `leaderless-${name}`);
      await topic.create(PARTITIONS.length);
      await write(topic);
      const next = new Map<number, number>();
      let assigned: readonly number[] = [];
      const position: Position = ({ partitions }) => {
        assigned = partitions.map(({ partition }) => partition);
        return Promise.resolve(new Map(partitions.map(({ partition }) => [partition, next.get(partition) ?? 0])));
      };
      const options = { bootstrapServers: [broker.plain], topic: topic.name, group: topic.name } as const;
      const heard: string[] = [];
      const read = async (signal: AbortSignal) => {
        const listener = (what: string) => void heard.push(what);
        await using consumer = await client.openConsumer({ ...options, start: "earliest" }, listener, untilStopped);
        for await (const reading of consumer.readings(position, signal)) {
          for await (const { partition, offset } of each(reading.messages)) next.set(partition, offset + 1);
        }
      };
      const has = (partitions: readonly number[], end: number) =>
        eventually(
          () => partitions.every((partition) => next.get(partition) === end),
          () => `${JSON.stringify([...next])} instead of ${end} of ${partitions}\n${heard.join("\n")}`,
          { timeout: 60_000 },
        );

      const before = new AbortController();
      const first = read(before.signal);
      await has(PARTITIONS, 10);
      await write(topic);
      await has(PARTITIONS, 20);
      before.abort();
      await first;
      next.clear();

      const lost = disks.find((disk) => !existsSync(join(disk, "__consumer_offsets-0"))) as string;
      const isLost = (partition: number) => existsSync(join(`${lost}.away`, `${topic.name}-${partition}`));
      await broker.kill();
      renameSync(lost, `${lost}.away`);
      writeFileSync(lost, "");
      await broker.restart();
      const led = PARTITIONS.filter((partition) => !isLost(partition));
      expect(led.length).toBeGreaterThan(0);
      expect(led.length).toBeLessThan(PARTITIONS.length);

      const again = new AbortController();
      const second = read(again.signal);
      await has(led, 20);
      expect(assigned).toEqual(led);
      expect(heard.filter((what) => what.startsWith("Nobody leads partition"))).not.toEqual([]);
      await broker.kill();
      rmSync(lost);
      renameSync(`${lost}.away`, lost);
      await broker.restart();
      await has(PARTITIONS, 20);
      again.abort();
      await second;
    },
  );
});
