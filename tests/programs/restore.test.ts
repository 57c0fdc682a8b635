import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeMetric } from "../../lib/metric.ts";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import type { Running } from "../support/programs.ts";
import { openServices, type RawMessage, type Services } from "../support/services.ts";
import { possibleVariants } from "../support/variants.ts";

// The promises of docs/operations.md about retention, backup and restore. The tests use a consumer
// as a user starts it, a real broker, and PostgreSQL's own programs.

const canRun = canRunKafka() && (ownPostgresMissing === null || skipped(ownPostgresMissing));

/** Metrics with the numbers from `from` to `to` (not included) in their addresses. */
function numbered(from: number, to: number): RawMessage[] {
  return Array.from({ length: to - from }, (_, i) => {
    const address = `https://${from + i}.example`;
    const metric = metricWith({ address, check_id: randomUUID() });
    return { key: address, value: new TextEncoder().encode(encodeMetric(metric)) };
  });
}

const folder = mkdtempSync(join(tmpdir(), "test-restore-"));
let services: Services;
beforeAll(async () => {
  if (canRun) services = await openServices();
}, 120_000);
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await services?.[Symbol.asyncDispose]();
}, 60_000);

describe.runIf(canRun).each(possibleVariants())(
  "retention, backup and restore, with the consumer on $name",
  (variant) => {
    /** Runs one of PostgreSQL's programs on a database of the server. */
    function run(program: string, database: string, ...args: string[]): string {
      const { host, port, user } = services.postgres.settings;
      const env = { ...process.env, PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database };
      return execFileSync(program, args, { env, encoding: "utf8" });
    }
    const ask = (database: string, sql: string) => run("psql", database, "-qAtc", sql).trim();
    const counted = (database: string, topic: string) =>
      ask(database, `select count(*) || ' of ' || count(distinct address) from ${topic}`);

    /** A new topic with the metrics 0 to 19, and the name of the database for them. */
    async function filledTopic(): Promise<{ topic: string; name: string }> {
      const topic = services.newName();
      await services.createTopic(topic);
      await services.write(topic, numbered(0, 20));
      return { topic, name: services.postgres.settings.name };
    }

    /** Waits until the table has so many rows. The consumer makes it. */
    async function untilStored(database: string, topic: string, count: number, consumer: Running): Promise<void> {
      const isMade = () => ask(database, `select to_regclass('${topic}') is not null`) === "t";
      const rows = () => isMade() ? Number(ask(database, `select count(*) from ${topic}`)) : 0;
      // Each look starts psql, which takes more of a core than what it asks for.
      await expect.poll(rows, { timeout: 50_000, interval: 300, message: consumer.stderr }).toBe(count);
    }

    async function stop(consumer: Running): Promise<void> {
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
    }

    it("a dump that was made at work, restored into another database, goes on exactly once", async () => {
      const { topic, name } = await filledTopic();
      const dump = join(folder, `${topic}.dump`);
      await using first = services.consume(variant, topic);
      await untilStored(name, topic, 20, first);
      run("pg_dump", name, "--format=custom", `--file=${dump}`);
      await services.write(topic, numbered(20, 40));
      await untilStored(name, topic, 40, first);
      await stop(first);
      run("psql", name, "-qc", `create database ${topic}_restored`);
      run("pg_restore", name, "--no-owner", "--exit-on-error", `--dbname=${topic}_restored`, dump);
      expect(counted(`${topic}_restored`, topic)).toBe("20 of 20");
      await using second = services.consume(variant, topic, { DB_NAME: `${topic}_restored` });
      await untilStored(`${topic}_restored`, topic, 40, second);
      await stop(second);
      expect(counted(`${topic}_restored`, topic)).toBe("40 of 40");
      expect(ask(`${topic}_restored`, `select count(*) from ${topic}_rejected`)).toBe("0");
    });

    it("rows that were deleted at work stay away, and rows that wait are stored", async () => {
      const { topic, name } = await filledTopic();
      await using first = services.consume(variant, topic);
      await untilStored(name, topic, 20, first);
      ask(name, `delete from ${topic} where checked_at < '2026-02-01'`);
      await stop(first);
      await services.write(topic, numbered(20, 25));
      await using second = services.consume(variant, topic);
      await untilStored(name, topic, 5, second);
      await stop(second);
      expect(ask(name, `select min(address) || ' ' || max(address) from ${topic}`))
        .toBe("https://20.example https://24.example");
    });

    it("marks that are older than the rows store nothing twice, where check_id tells", async () => {
      const { topic, name } = await filledTopic();
      await using first = services.consume(variant, topic);
      await untilStored(name, topic, 20, first);
      await stop(first);
      ask(name, `update ${topic}_offsets set next_offset = 5`);
      await services.write(topic, numbered(20, 21));
      await using second = services.consume(variant, topic);
      await untilStored(name, topic, 21, second);
      await stop(second);
      expect(counted(name, topic)).toBe("21 of 21");
    });
  },
);
