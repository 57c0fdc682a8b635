import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { SpoolFile } from "../../lib/delivery/spool/spool_file.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Metric } from "../../lib/metric.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite, refusedPort, type Site } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { placesAt } from "../support/log_positions.ts";

// The producer, started as by a user, with a spool. It is killed, its disk is full, or Kafka is
// away.

const folder = mkdtempSync(join(tmpdir(), "test-programs-spool-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let names = 0;
const newName = () => `spool_${++names}`;

const openPages = () => openSite((socket) => socket.end(answer("200 OK", {}, "All systems normal")));

function writeHosts({ port }: Site, run: string, count: number): string {
  const path = join(folder, `${run}.txt`);
  writeFileSync(path, Array.from({ length: count }, (_, n) => `http://127.0.0.1:${port}/${run}/${n} 1s\n`).join(""));
  return path;
}

/** The metrics that wait in the spool of a producer that does not run. */
function readSpool(directory: string, topic: string): Metric[] {
  const { file } = SpoolFile.open(join(directory, "spool.sqlite"), topic, 2 ** 30);
  using _file = file;
  return file.read(1_000_000).rows.map(({ document }) => JSON.parse(document) as Metric);
}

const idsOf = (metrics: readonly { readonly check_id: string | null }[]) => metrics.map(({ check_id }) => check_id);

const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

describe.each(runtimes)("producer --spool under %s, without Kafka", (runtime) => {
  const it = inTurn(runtimes, runtime);
  const begin = async (directory: string, hosts: string, shell?: string) => {
    const nowhere = ["--kafka-bootstrap-servers", `localhost:${await refusedPort()}`, "--kafka-topic", "t"];
    const args = [...nowhere, "--kafka-client", "javascript", "--spool", directory, hosts];
    return start(runtime, "producer", args, shell === undefined ? {} : { shell });
  };

  it("keeps every check for the next start, and ends with 0", async () => {
    await using site = await openPages();
    const run = newName();
    const directory = join(folder, run, "deep");
    const hosts = writeHosts(site, run, 3);
    for (let started = 1; started <= 2; started++) {
      await using producer = await begin(directory, hosts);
      const before = site.requests.length;
      await producer.says(`${before} metrics of an earlier run wait in the spool ${directory}`);
      await expect.poll(() => site.requests.length, { timeout: 20_000 }).toBeGreaterThan(before + 3);
      producer.kill("SIGTERM");
      const stopped = performance.now();
      const { code, stderr } = await producer.ended;
      // All metrics are on disk. So the producer need not wait seven seconds for Kafka.
      expect(performance.now() - stopped).toBeLessThan(5000);
      const asked = site.requests.length;
      const kept = `${asked - before} checks made, 0 metrics delivered, ${asked} in the spool for the next start`;
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(kept) });
      expect(new Set(idsOf(readSpool(directory, "t"))).size).toBe(asked);
      // The next start has the producer's knowledge of the hosts too.
      const known = JSON.parse(readFileSync(join(directory, "standings.json"), "utf8")) as Record<string, number[]>;
      expect(["quick", "slow", "suspect"].flatMap((standing) => known[standing] ?? []).length).toBe(3);
    }
  }, 60_000);

  it("refuses a folder that another producer has, until that one is gone, however it went", async () => {
    await using site = await openPages();
    const directory = join(folder, newName());
    const hosts = writeHosts(site, newName(), 1);
    await using first = await begin(directory, hosts);
    await first.says(/waits? in the spool/);
    await using second = await begin(directory, hosts);
    expect(await second.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${directory} is in use by another program`),
    });
    first.kill("SIGKILL");
    await first.ended;
    await using third = await begin(directory, hosts);
    await third.says(/waits? in the spool/);
  }, 60_000);

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "says at once that the disk is full, keeps checking with its metrics in memory, puts them on disk when it can, and loses none at %s",
    async (signal) => {
      await using site = await openPages();
      const run = newName();
      const directory = join(folder, run);
      const hosts = writeHosts(site, run, 20);
      // No file may grow beyond 128 KiB. To a file this is a full disk. The signal that comes with
      // it is ignored.
      await using producer = await begin(directory, hosts, "trap '' XFSZ; ulimit -Sf 256");
      await producer.says(`ERROR The spool ${directory} cannot be written`);
      const limit = (size: string) => execFileSync("prlimit", ["--pid", String(producer.pid), `--fsize=${size}:`]);
      // A small write might still fit. From now on none does.
      limit("4096");
      const before = site.requests.length;
      await expect.poll(() => site.requests.length, { timeout: 20_000 }).toBeGreaterThan(before + 40);
      const timesSaid = (words: string) => producer.stderr.split(words).length - 1;
      const recoveries = timesSaid("is written again");
      limit("unlimited");
      await expect.poll(() => timesSaid("is written again"), { timeout: 20_000 }).toBe(recoveries + 1);
      expect(timesSaid("cannot be written")).toBe(recoveries + 1);
      // After two more rounds of requests, every earlier request is a metric that was written.
      const asked = site.requests.length;
      await expect.poll(() => site.requests.length, { timeout: 20_000 }).toBeGreaterThan(asked + 40);
      producer.kill(signal);
      const { code, stderr } = await producer.ended;
      const spooled = readSpool(directory, "t");
      expect(new Set(idsOf(spooled)).size).toBe(spooled.length);
      expect(spooled.length).toBeGreaterThanOrEqual(asked);
      for (const [address, ofOne] of Map.groupBy(spooled, ({ address }) => address)) {
        const times = ofOne.map(({ checked_at }) => checked_at);
        expect({ address, times }).toEqual({ address, times: times.toSorted() });
      }
      if (signal === "SIGKILL") return;
      const kept =
        `${spooled.length} checks made, 0 metrics delivered, ${spooled.length} in the spool for the next start`;
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(kept) });
    },
    60_000,
  );
});

const variants = possibleVariants();
const canRun = canRunKafka() && (postgresMissing === null || skipped(postgresMissing));

// At the same time, each with a broker of its own: most of what they do is to wait for it.
describe.runIf(canRun).concurrent.each(variants)("producer --spool and consumer on $name", (variant: Variant) => {
  const it = inTurn(variants, variant);
  let broker: KafkaServer;
  let postgres: TestPostgres;
  let site: Site;

  beforeAll(async () => {
    [broker, postgres, site] = await Promise.all([temporaryKafka(), startPostgres(), openPages()]);
  }, 120_000);
  afterAll(async () => {
    await Promise.all([broker, postgres, site].map((part) => part?.[Symbol.asyncDispose]()));
  }, 60_000);

  const kafkaEnv = (topic: string): Record<string, string> => ({
    KAFKA_BOOTSTRAP_SERVERS: broker.plain,
    KAFKA_TOPIC: topic,
    KAFKA_CLIENT: client,
  });
  const { runtime, client } = variant;
  const beginProducer = (topic: string, directory: string, hosts: string) => {
    const env = { ...kafkaEnv(topic), KAFKA_PARTITIONS: "3", CHECK_SPOOL: directory };
    return start(runtime, "producer", [hosts], { env });
  };
  const beginConsumer = (topic: string) => {
    const { host, port, name, user, password } = postgres.settings;
    const database = {
      DB_HOST: host,
      DB_PORT: String(port),
      DB_NAME: name,
      DB_USER: user,
      DB_PASSWORD: password ?? "",
    };
    return start(runtime, "consumer", ["--db-table", topic], { env: { ...kafkaEnv(topic), ...database } });
  };

  /** All metrics of a topic. Those of one address keep their order. */
  async function readTopic(topic: string): Promise<Metric[]> {
    const client = await loadClient("javascript");
    const reader = { bootstrapServers: [broker.plain], topic, group: newName(), start: "earliest" } as const;
    await using consumer = await client.openConsumer(reader, () => {}, AbortSignal.timeout(30_000));
    const values: string[] = [];
    const stop = new AbortController();
    const left = new Map<number, number>();
    const readings = consumer.readings(({ partitions }) => {
      for (const { partition, logStart, logEnd } of partitions) if (logStart < logEnd) left.set(partition, logEnd);
      if (left.size === 0) stop.abort();
      return Promise.resolve(placesAt(partitions.map(({ partition, logStart }) => [partition, logStart])));
    }, stop.signal);
    for await (const reading of readings) {
      for await (const messages of reading.messages) {
        for (const { partition, offset, value } of messages) {
          values.push(new TextDecoder().decode(value ?? undefined));
          if (offset + 1 === left.get(partition)) left.delete(partition);
        }
        if (left.size === 0) stop.abort();
      }
    }
    return values.map((value) => JSON.parse(value));
  }

  const askedIn = (run: string) => site.requests.filter(({ path }) => path.startsWith(`/${run}/`)).length;

  it("keeps checking while Kafka is away, and then sends every metric, each address in order", {
    concurrent: false,
    timeout: 90_000,
  }, async ({ expect }) => {
    const topic = newName();
    const hosts = writeHosts(site, topic, 5);
    await using producer = beginProducer(topic, join(folder, topic), hosts);
    await expect.poll(() => askedIn(topic), { timeout: 20_000 }).toBeGreaterThan(5);
    await broker.kill();
    // A broker that has just started may have been slow to take the first messages.
    const recoveries = () => producer.stderr.split("Kafka takes messages again").length;
    const [before, recovered] = [askedIn(topic), recoveries()];
    await expect.poll(() => askedIn(topic), { timeout: 20_000 }).toBeGreaterThan(before + 20);
    await broker.restart();
    await expect.poll(recoveries, { timeout: 40_000 }).toBeGreaterThan(recovered);
    producer.kill("SIGTERM");
    const asked = await producer.ended.then(() => askedIn(topic));
    expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
    const metrics = await readTopic(topic);
    // A busy machine may miss a check.
    const checked = metrics.filter(({ error }) => error !== "missed").length;
    expect([new Set(idsOf(metrics)).size, checked]).toEqual([metrics.length, asked]);
    for (const [address, ofOne] of Map.groupBy(metrics, ({ address }) => address)) {
      const times = ofOne.map(({ checked_at }) => checked_at);
      expect({ address, times }).toEqual({ address, times: times.toSorted() });
    }
  });

  it(
    "loses nothing that it spooled, and doubles no row, however often it is killed while Kafka comes and goes",
    { concurrent: false, timeout: 180_000 },
    async ({ expect }) => {
      const topic = newName();
      const directory = join(folder, topic);
      const hosts = writeHosts(site, topic, 5);
      const spooled = new Set<string | null>();
      for (let kills = 0; kills < 10; kills++) {
        await using producer = beginProducer(topic, directory, hosts);
        if (kills % 4 === 1) await broker.kill();
        if (kills % 4 === 3) await broker.restart();
        const before = askedIn(topic);
        const more = Math.ceil(Math.random() * 15);
        await expect.poll(() => askedIn(topic), { timeout: 60_000, interval: 5 }).toBeGreaterThan(before + more);
        // The kill may come at any moment: between two checks, during a write, or before Kafka's
        // answer is noted.
        await delay(Math.random() * 100);
        producer.kill("SIGKILL");
        await producer.ended;
        for (const id of idsOf(readSpool(directory, topic))) spooled.add(id);
      }
      await broker.restart().catch(() => {});
      await using last = beginProducer(topic, directory, hosts);
      await last.says(/[^0]\d* metrics? of an earlier run|0 metrics of an earlier run/);
      const before = askedIn(topic);
      await expect.poll(() => askedIn(topic), { timeout: 20_000 }).toBeGreaterThan(before + 5);
      // A broker that has just come back is slow. A producer that ends meanwhile rightly leaves
      // the rest in the spool.
      const unsent = async () => spooled.difference(new Set(idsOf(await readTopic(topic)))).size;
      await expect.poll(unsent, { timeout: 60_000, interval: 300 }).toBe(0);
      last.kill("SIGTERM");
      expect(await last.ended, last.stderr).toMatchObject({ code: 0 });
      expect(readSpool(directory, topic)).toEqual([]);

      const sent = idsOf(await readTopic(topic));
      const ids = new Set(sent);
      expect([...spooled].filter((id) => !ids.has(id))).toEqual([]);
      expect(spooled.size).toBeGreaterThan(20);
      // Some requests have no metric: it was not on disk yet at one of ten kills. Each kill loses
      // one check a host at most.
      expect(askedIn(topic) - ids.size).toBeLessThanOrEqual(10 * 5);

      await using consumer = beginConsumer(topic);
      const rows = () =>
        postgres.sql<{ check_id: string }[]>`select check_id from ${postgres.sql(topic)}`.catch(() => []);
      await expect.poll(async () => (await rows()).length, { timeout: 30_000 }).toBe(ids.size);
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
      expect(idsOf(await rows()).toSorted()).toEqual([...ids].toSorted());
    },
  );
});
