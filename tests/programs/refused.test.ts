import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, vi } from "vitest";
import { COMPRESSIONS } from "../../lib/config/setting_types.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Metric } from "../../lib/metric.ts";
import { freePort } from "../../tools/free_ports.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { canRunKafka, temporaryKafka } from "../support/kafka.ts";
import { run, start } from "../support/programs.ts";
import { answer, openSite, refusedPort, type Site } from "../support/site.ts";
import { readTopic } from "../support/topic_reader.ts";
import { makeTopic } from "../support/topic_settings.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";

// The producer, started as by a user, with a topic that refuses some of the metrics.

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const folder = mkdtempSync(join(tmpdir(), "test-programs-refused-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let names = 0;
const newName = () => `refused_${++names}`;
const patience = { timeout: 60_000, interval: 200 };

const openPages = () => openSite((socket) => socket.end(answer("200 OK", {}, "All systems normal")));

/** Random characters: others would be compressed until they fit. */
const noise = (length: number) =>
  Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => (byte % 36).toString(36)).join("");

function writeHosts({ port }: Site, paths: readonly string[]): string {
  const path = join(folder, `${newName()}.txt`);
  writeFileSync(path, paths.map((path) => `http://127.0.0.1:${port}/${path} 1s\n`).join(""));
  return path;
}

describe.runIf(canRunKafka())("the producer and a topic that refuses", () => {
  let broker: KafkaServer;
  beforeAll(async () => void (broker = await temporaryKafka()), 120_000);
  afterAll(() => broker?.[Symbol.asyncDispose](), 30_000);

  const begin = ({ runtime, client }: Variant, topic: string, server: string, ...args: string[]) =>
    start(runtime, "producer", [
      ...["--kafka-bootstrap-servers", server, "--kafka-topic", topic, "--kafka-client", client],
      ...args,
    ]);
  const read = async (topic: string, client: "librdkafka" | "javascript" = "javascript"): Promise<Metric[]> => {
    const messages = await readTopic(await loadClient(client), { bootstrapServers: [broker.plain], topic });
    return messages.map(({ value }) => JSON.parse(new TextDecoder().decode(value ?? undefined)) as Metric);
  };
  const distinct = (metrics: readonly Metric[]) => new Set(metrics.map(({ check_id }) => check_id)).size;

  // One by one, since all have the same broker.
  const variants = possibleVariants();
  describe.each(variants)("$name", (variant) => {
    const it = inTurn(variants, variant);
    it("a broker that hangs is waited for: said once, and not ready meanwhile; then nothing is there twice", async () => {
      await using site = await openPages();
      const topic = newName();
      await makeTopic(broker.plain, topic, 2, {});
      const listen = `127.0.0.1:${await freePort()}`;
      await using producer = begin(variant, topic, broker.plain, "--listen", listen, writeHosts(site, ["a", "b"]));
      const ready = () =>
        fetch(`http://${listen}/readyz`).then(async (got) => [got.status, await got.text()], () => []);
      await expect.poll(ready, patience).toEqual([200, expect.anything()]);
      await expect.poll(async () => (await read(topic)).length, patience).toBeGreaterThan(4);
      // A broker that has just begun may say at first that it is loading.
      const before = producer.stderr.length;
      process.kill(broker.pid, "SIGSTOP");
      try {
        const told = "Kafka does not take messages (no confirmation for 10 s): trying again";
        await expect.poll(ready, patience).toEqual([503, expect.stringContaining(told)]);
      } finally {
        process.kill(broker.pid, "SIGCONT");
      }
      await expect.poll(ready, patience).toEqual([200, expect.anything()]);
      const since = () => producer.stderr.slice(before);
      await expect.poll(since, patience).toContain("WARN  Kafka takes messages again");
      expect(since().split("WARN  Kafka does not take messages").length - 1, producer.stderr).toBe(1);
      producer.kill("SIGTERM");
      expect((await producer.ended).code).toBe(0);
      const metrics = await read(topic);
      expect(metrics.length).toBeGreaterThan(10);
      expect(distinct(metrics)).toBe(metrics.length);
    });
  });

  // At the same time: most of what they do is to wait for the next check.
  describe.concurrent.each(variants)("$name", (variant) => {
    const it = inTurn(variants, variant);
    it("a long address among six hosts is dropped and said, and the spool goes on", async ({ expect }) => {
      await using site = await openPages();
      const topic = newName();
      await makeTopic(broker.plain, topic, 3, { "max.message.bytes": "1500" });
      const long = noise(1900);
      const hosts = writeHosts(site, ["a", "b", "c", long, "d", "e"]);
      const listen = `127.0.0.1:${await freePort()}`;
      const args = ["--spool", join(folder, topic), "--listen", listen, hosts];
      await using producer = begin(variant, topic, broker.plain, ...args);
      const figure = async (name: string) => {
        const text = await fetch(`http://${listen}/metrics`).then((answer) => answer.text(), () => "");
        return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
      };
      await expect.poll(() => figure("host_checker_metrics_delivered_total"), patience).toBeGreaterThan(60);
      expect(await figure("host_checker_metrics_dropped_total")).toBeGreaterThan(3);
      expect((await fetch(`http://${listen}/readyz`)).status).toBe(200);
      producer.kill("SIGTERM");
      const { code, stderr } = await producer.ended;
      expect(stderr).toContain(`WARN  The metric of http://127.0.0.1:${site.port}/${long.slice(0, 100)}`);
      expect(stderr).toContain("is dropped: Kafka refuses it (MESSAGE_TOO_LARGE");
      expect(stderr).not.toContain("the oldest first");
      const [, delivered, dropped] = /(\d+) metrics? delivered, (\d+) dropped/.exec(stderr) ?? [];
      // Some metrics are lost, and the exit code says so.
      expect({ code, dropped: Number(dropped) }).toEqual({ code: 1, dropped: expect.any(Number) });
      const metrics = await read(topic);
      expect([metrics.length, distinct(metrics)]).toEqual([Number(delivered), Number(delivered)]);
      expect(new Set(metrics.map(({ address }) => new URL(address).pathname))).toEqual(
        new Set(["/a", "/b", "/c", "/d", "/e"]),
      );
    });

    it("what waited in a spool goes to a topic that takes less than that at once", async ({ expect }) => {
      await using site = await openPages();
      const topic = newName();
      await makeTopic(broker.plain, topic, 1, { "max.message.bytes": "16384" });
      const hosts = writeHosts(site, Array.from({ length: 100 }, () => noise(200)));
      const spool = ["--spool", join(folder, topic), hosts];
      {
        await using early = begin(variant, topic, `localhost:${await refusedPort()}`, ...spool);
        await expect.poll(() => site.requests.length, patience).toBeGreaterThan(500);
        early.kill("SIGTERM");
        expect((await early.ended).code).toBe(0);
      }
      await using producer = begin(variant, topic, broker.plain, ...spool);
      const waited = site.requests.length;
      await producer.says(/ metrics of an earlier run wait in the spool/);
      await expect.poll(async () => distinct(await read(topic)), patience).toBeGreaterThanOrEqual(waited);
      producer.kill("SIGTERM");
      const { code, stderr } = await producer.ended;
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(" delivered") });
      expect(stderr).toContain("WARN  The topic takes no batch of metrics that is so large (MESSAGE_TOO_LARGE)");
      const metrics = await read(topic);
      expect(distinct(metrics)).toBe(metrics.length);
    });

    // tests/kafka/refused.test.ts tries all of them with the clients of Node.
    const compressions = variant.runtime === "deno" ? COMPRESSIONS : ["gzip"] as const;
    it.each(compressions)("--kafka-compression %s is read by the other client", async (compression) => {
      await using site = await openPages();
      const hosts = writeHosts(site, ["a", "b", "c"]);
      const topic = newName();
      const kafka = ["--kafka-bootstrap-servers", broker.plain, "--kafka-topic", topic, "--kafka-partitions", "2"];
      const flags = [...kafka, "--kafka-client", variant.client, "--kafka-compression", compression, "--once", hosts];
      expect(await run(variant.runtime, "producer", flags)).toMatchObject({ code: 0 });
      const other = possibleVariants().find(({ client }) => client !== variant.client)?.client ?? variant.client;
      expect(await read(topic, other)).toHaveLength(3);
    });
  });
});
