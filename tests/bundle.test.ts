import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadLibrdkafka } from "../lib/kafka/librdkafka/library.ts";
import type { Metric } from "../lib/metric.ts";
import { bundle } from "../tools/bundle/bundle.ts";
import type { KafkaServer } from "../tools/kafka/kafka.ts";
import { newEmbedded } from "./support/embedded.ts";
import { canRunKafka, skipped, temporaryKafka } from "./support/kafka.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "./support/postgres.ts";
import { run, type Runtime, RUNTIMES, start } from "./support/programs.ts";
import { denoMissing } from "./support/runtimes.ts";
import { answer, openSite, type Site } from "./support/site.ts";

// The programs as their images hold them. Each is one file, in a folder with nothing else.

const canRun = postgresMissing === null || skipped(postgresMissing);
const canKafka = canRun && canRunKafka();
const library = loadLibrdkafka();
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null || skipped(denoMissing));

describe("bundle", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-bundle-"));
  const alone = join(folder, "alone");
  /** Where the packages that a bundle leaves out can be found. */
  const furnished = join(folder, "furnished");
  let files: string[];
  let site: Site;
  let postgres: TestPostgres;
  let count = 0;
  const newName = () => `run_${++count}`;

  beforeAll(async () => {
    for (const place of [alone, furnished]) mkdirSync(place);
    symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), join(furnished, "node_modules"));
    [files, , site, postgres] = await Promise.all([
      bundle(alone),
      bundle(furnished),
      openSite((socket, { path }) =>
        void socket.end(answer(path === "/fine" ? "200 OK" : "404 Not Found", {}, "fine"))
      ),
      startPostgres(),
    ]);
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([site, postgres].map((part) => part?.[Symbol.asyncDispose]()));
  });

  const pages = () => [`http://127.0.0.1:${site.port}/fine`, `http://127.0.0.1:${site.port}/lost`];
  function writeHosts(): string {
    const path = join(folder, `${newName()}.txt`);
    writeFileSync(path, pages().map((page) => `${page} 1s (fine)\n`).join(""));
    return path;
  }
  const databaseEnv = (): Record<string, string> => {
    const { host, port, name, user, password } = postgres.settings;
    return { DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: user, DB_PASSWORD: password ?? "" };
  };

  it("makes one file a program, and nothing beside it", () => {
    expect(files).toEqual([join(alone, "producer.js"), join(alone, "consumer.js")]);
    expect(readdirSync(alone).toSorted()).toEqual(["consumer.js", "producer.js"]);
  });

  describe.each(runtimes)("under %s", (runtime: Runtime) => {
    it.runIf(canRun)("is the whole job: producer --stdout | consumer --stdin into PostgreSQL", async () => {
      const table = newName();
      const args = ["--once", "--stdout", "--threads", "2", writeHosts()];
      const made = await run(runtime, "producer", args, { bundle: alone });
      expect(made, made.stderr).toMatchObject({ code: 0 });
      const stored = await run(runtime, "consumer", ["--stdin", "--db-table", table], {
        bundle: alone,
        input: made.stdout,
        env: databaseEnv(),
      });
      expect(stored, stored.stderr).toMatchObject({ code: 0 });
      const metrics = made.stdout.trim().split("\n").map((line) => JSON.parse(line) as Metric);
      const rows = await postgres.sql`select address, check_id from ${postgres.sql(table)} order by address`;
      expect([...rows]).toEqual(
        metrics.map(({ address, check_id }) => ({ address, check_id })).toSorted((a, b) =>
          a.address < b.address ? -1 : 1
        ),
      );
      expect(metrics.map(({ address }) => address).toSorted()).toEqual(pages());
    });

    it("keeps what Kafka does not take in its spool, which a thread of the same file writes", async () => {
      const spool = join(folder, newName());
      const env = { KAFKA_BOOTSTRAP_SERVERS: "127.0.0.1:1", KAFKA_TOPIC: "x", KAFKA_CLIENT: "javascript" };
      await using producer = start(runtime, "producer", ["--spool", spool, writeHosts()], { bundle: alone, env });
      await producer.says(/is down/);
      producer.kill("SIGTERM");
      expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
      expect(producer.stderr).toMatch(/[1-9]\d* (?:metrics? )?in the spool for the next start/);
    });

    it("says what --embedded lacks, and makes no folder", async () => {
      const data = join(alone, "data");
      const { code, stderr } = await run(runtime, "consumer", ["--stdin", "--embedded", data], { bundle: alone });
      expect(code).toBe(1);
      expect(stderr).toContain(
        "ERROR --embedded needs the package @electric-sql/pglite, which bundles and images leave out: " +
          "run consumer.ts where npm ci has been run, or write to a server (DB_HOST)\n",
      );
      expect(readdirSync(alone)).not.toContain("data");
    });
  });

  it("takes the embedded PostgreSQL from the packages where it finds them", async () => {
    // A query makes no database. It asks an existing one.
    const args = ["--embedded", await newEmbedded(join(folder, "data")), "--query", "select 1 as one"];
    expect(await run("node", "consumer", args, { bundle: furnished })).toMatchObject({
      code: 0,
      stdout: '{"one":1}\n',
    });
  });

  it("says that librdkafka is not there where it was asked for", async () => {
    const env = {
      KAFKA_BOOTSTRAP_SERVERS: "localhost:1",
      KAFKA_TOPIC: "x",
      KAFKA_CLIENT: "librdkafka",
      ...databaseEnv(),
    };
    const { code, stderr } = await run("node", "consumer", [], { bundle: alone, env });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr:
        "--kafka-client (KAFKA_CLIENT) is librdkafka, but its add-on is not installed: npm ci could not build it: " +
        "write javascript, or leave it out\n",
    });
  });

  describe.runIf(canKafka)("through Kafka over mutual TLS", () => {
    let broker: KafkaServer;
    beforeAll(async () => {
      broker = await temporaryKafka();
    });
    afterAll(() => broker?.[Symbol.asyncDispose]());

    const WAYS = [
      { runtime: "node", client: "javascript", place: alone },
      { runtime: "deno", client: "javascript", place: alone },
      { runtime: "node", client: "librdkafka", place: furnished },
    ] as const;
    const ways = WAYS.filter(({ runtime, client }) =>
      runtimes.includes(runtime) && (client === "javascript" || !("missing" in library) || skipped(library.missing))
    );
    it.each(ways)("stores every check, on $runtime with $client", async ({ runtime, client, place }) => {
      const name = newName();
      const kafka = {
        KAFKA_BOOTSTRAP_SERVERS: broker.mtls,
        KAFKA_TOPIC: name,
        KAFKA_CLIENT: client,
        KAFKA_SSL_CA_FILE: broker.certificates.caFile,
        KAFKA_SSL_KEY_FILE: broker.certificates.keyFile,
        KAFKA_SSL_CERT_FILE: broker.certificates.certFile,
      };
      const before = site.requests.length;
      await using producer = start(runtime, "producer", ["--kafka-partitions", "2", writeHosts()], {
        bundle: place,
        env: kafka,
      });
      await producer.says(`topic ${name} at ${broker.mtls} (${client}, `);
      await expect.poll(() => site.requests.length, { timeout: 20_000 }).toBeGreaterThan(before + 5);
      producer.kill("SIGTERM");
      expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
      const [, delivered = ""] = /, (\d+) metrics delivered/.exec(producer.stderr) ?? [];
      expect(Number(delivered)).toBeGreaterThan(1);

      await using consumer = start(runtime, "consumer", ["--db-table", name], {
        bundle: place,
        env: { ...kafka, ...databaseEnv() },
      });
      const rows = async () => {
        const [row] = await postgres.sql`select count(*)::int as rows from ${postgres.sql(name)}`.catch(() => []);
        return row?.rows;
      };
      await expect.poll(rows, { timeout: 30_000 }).toBe(Number(delivered));
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
    });
  });
});
