import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { encodeMetric } from "../../lib/metric.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { dayDifferences, rollUpAll, rollUpOf } from "../support/days.ts";
import { eventually } from "../support/eventually.ts";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import type { Running } from "../support/programs.ts";
import { openServices, type RawMessage, type Services } from "../support/services.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants } from "../support/variants.ts";

// The promises of docs/operations.md about retention, backup and restore. The tests use a consumer
// as a user starts it, a real broker, and PostgreSQL's own programs.

const canRun = canRunKafka() && (ownPostgresMissing === null || skipped(ownPostgresMissing));

/** The advisory lock that holds up a roll-up. */
const LOCK = 4711;

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

const variants = possibleVariants();

describe.runIf(canRun).each(variants)(
  "retention, backup and restore, with the consumer on $name",
  (variant) => {
    const it = inTurn(variants, variant);
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
      await using database = openPostgres({ ...services.postgres.settings, name: `${topic}_restored` });
      const table = { schema: null, name: topic };
      const rollUp = await rollUpOf(database, table);
      const counted40 = async () => {
        await rollUpAll(rollUp);
        return ask(`${topic}_restored`, `select sum(checks) from ${topic}_daily`) === "40";
      };
      // A day that a consumer could not leave in time, as the machine was slow, is free after a minute.
      await eventually(counted40, () => "not all days are rolled up", { timeout: 100_000, interval: 1_000 });
      expect(await dayDifferences(database, quoteTables(table))).toEqual([]);
    }, 180_000);

    it("a day is rolled up though the consumer that did so is killed in the middle, and again for a row that comes late", async () => {
      const { topic, name } = await filledTopic();
      const day = `${topic}_days where day = '2026-01-31'`;
      const isSettled = () => ask(name, `select not stale and roller is null from ${day}`) === "t";
      const rolledUp = () => ask(name, `select count(*) || ' of ' || sum(checks) from ${topic}_daily`);
      await using first = services.consume(variant, topic);
      await untilStored(name, topic, 20, first);
      await stop(first);
      // The last addresses wait for a lock: the first bite is over by then.
      ask(
        name,
        `update ${topic}_days set stale = true, rolled_up_at = null, roller = null; delete from ${topic}_daily;
         insert into ${topic}_days (day) values ('2026-01-31') on conflict do nothing;
         create function ${topic}_wait() returns trigger language plpgsql as
           $$ begin perform pg_advisory_xact_lock_shared(${LOCK}); return new; end $$;
         create trigger wait before insert on ${topic}_daily for each row
           when (new.address >= 'https://7') execute function ${topic}_wait()`,
      );
      const holder = await services.postgres.sql.reserve();
      await using second = services.consume(variant, topic);
      try {
        await holder.unsafe(`select pg_advisory_lock(${LOCK})`);
        const isStuck = () => ask(name, `select count(*) from pg_locks where locktype = 'advisory' and not granted`);
        await expect.poll(isStuck, { timeout: 50_000, message: second.stderr }).toBe("1");
        second.kill("SIGKILL");
        await second.ended;
      } finally {
        await holder.unsafe(`select pg_advisory_unlock(${LOCK})`);
        holder.release();
      }
      expect(isSettled()).toBe(false);
      // As if the minute had passed after which a consumer counts as dead.
      ask(name, `update ${topic}_days set bitten_at = bitten_at - interval '1 minute'`);
      await using third = services.consume(variant, topic);
      await expect.poll(isSettled, { timeout: 50_000, message: third.stderr }).toBe(true);
      expect(rolledUp()).toBe("20 of 20");
      await services.write(topic, numbered(20, 21));
      await untilStored(name, topic, 21, third);
      expect(isSettled()).toBe(false);
      await stop(third);
      // As if the ten minutes had passed after which a day is rolled up again.
      ask(name, `update ${topic}_days set rolled_up_at = rolled_up_at - interval '10 minutes'`);
      await using fourth = services.consume(variant, topic);
      await expect.poll(isSettled, { timeout: 50_000, message: fourth.stderr }).toBe(true);
      expect(rolledUp()).toBe("21 of 21");
      await stop(fourth);
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
