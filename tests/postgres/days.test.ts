import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Partition } from "../../lib/config/setting_types.ts";
import type { Metric } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { unsettledDays } from "../../lib/postgres/days.ts";
import { stateOf } from "../../lib/postgres/host_state.ts";
import { Marks } from "../../lib/postgres/marks.ts";
import { type Foreground, RollUp } from "../../lib/postgres/roll_up.ts";
import { BatchEncoder } from "../../lib/postgres/encoded_batch.ts";
import { type QuotedTables, quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import { TableWriter } from "../../lib/postgres/table_writer.ts";
import { prepareTables } from "../../lib/postgres/tables.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { dayDifferences } from "../support/days.ts";
import { intercepting } from "../support/databases.ts";
import { eventually } from "../support/eventually.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { Random } from "../support/random.ts";

let server: TestPostgres;
const kindsOf = databaseKinds((started) => server = started);

const never = new AbortController().signal;
const silent = { rolledUp() {} };
const at = (time: string) => `2026-01-${time}.000Z`;

/** A table with its store, and what rolls up its days. */
class World {
  readonly database: Database;
  readonly tables: QuotedTables;
  readonly name: string;
  readonly #store: Store;
  readonly #source = { topic: "t", topicId: randomUUID() };
  #next = 0;

  private constructor(database: Database, name: string, store: Store) {
    this.database = database;
    this.name = name;
    this.tables = quoteTables({ schema: null, name });
    this.#store = store;
  }

  /** A new table, or one that exists. */
  static async open(
    database: Database,
    partition: Partition = "month",
    name = `d_${randomUUID().slice(0, 8)}`,
  ): Promise<World> {
    const store = await Store.open(database, { schema: null, name }, { partition });
    const world = new World(database, name, store);
    await store.marks.claim(world.#source, new Map([[0, 0]]));
    return world;
  }

  /** Stores metrics, each by its own id. */
  async store(metrics: readonly Partial<Metric>[]): Promise<void> {
    const start = this.#next;
    const entries = metrics.map((fields) => {
      const content = metricWith({ check_id: randomUUID(), ...fields });
      return { partition: 0, offset: this.#next++, key: null, value: null, content };
    });
    const outcome = await this.#store.flush(this.#source, new Map([[0, { start, next: this.#next }]]), entries);
    expect(outcome).toBe("stored");
  }

  async rollUp(foreground?: Foreground, database = this.database): Promise<RollUp> {
    const tables = await prepareTables(database, { schema: null, name: this.name });
    return new RollUp(database, tables, silent, foreground, { after: 0, again: 0 });
  }

  /** Rolls up all that can be. Gives the days, the newest first. */
  async rollUpAll(rollUp?: RollUp): Promise<string[]> {
    const worker = rollUp ?? await this.rollUp();
    const days: string[] = [];
    for (let day = await worker.next(never); day !== null; day = await worker.next(never)) days.push(day);
    return days;
  }

  differences() {
    return dayDifferences(this.database, this.tables);
  }

  async daily<T extends object>(columns: string): Promise<T[]> {
    return await this.database.query<T>(
      `select ${columns} from ${this.tables.daily} order by day, address, location`,
    );
  }

  async unsettled(): Promise<string[]> {
    const rows = await this.database.query<{ day: string }>(
      `select day::text as day from ${this.tables.days} where stale or roller is not null order by 1`,
    );
    return rows.map(({ day }) => day);
  }
}

const missed = { error: "missed", status_code: null, is_valid: false, latency: 0 };
const down = { error: "timeout", status_code: null, is_valid: false, latency: 10 };
const removed = { error: "removed", status_code: null, is_valid: false, latency: 0 };

/** Checks of some hosts from two places over days, with all that may befall them. */
function history(random: Random, days: number): Metric[] {
  return ["a", "b", "c", "d", "e"].flatMap((name, host) =>
    [null, "Rome"].flatMap((location) => {
      const metrics: Metric[] = [];
      for (let minute = random.between(0, 400); minute < days * 1440; minute += random.between(20, 200)) {
        const time = new Date(Date.UTC(2026, 0, 10) + minute * 60_000 + random.between(0, 59_999)).toISOString();
        const kind = random.pick([{}, {}, {}, down, down, missed, { status_code: 503 }, removed]);
        metrics.push(metricWith({
          address: name,
          location,
          scheduled_at: time,
          checked_at: time,
          check_id: randomUUID(),
          latency: random.next() ** 4 * 10,
          next_at: random.pick([null, new Date(Date.parse(time) + 300_000).toISOString()]),
          tls_expires_at: host % 2 === 0 ? null : new Date(Date.UTC(2026, 5, random.between(1, 9))).toISOString(),
          ...kind,
        }));
      }
      return metrics;
    })
  );
}

/** The sum of some numbers. */
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

/** The histogram of latencies: its first bucket, and the checks in each bucket from there on. */
function histogram(latencies: readonly number[]): Record<string, unknown> {
  const buckets = latencies.map((seconds) => Math.max(0, Math.floor(Math.log(seconds / 0.0001) / Math.log(1.1))));
  if (buckets.length === 0) return { latency_from: null, counts: "{}" };
  const from = Math.min(...buckets);
  const counts = Array<number>(Math.max(...buckets) - from + 1).fill(0);
  for (const bucket of buckets) counts[bucket - from] = (counts[bucket - from] ?? 0) + 1;
  return { latency_from: from, counts: `{${counts.join(",")}}` };
}

/** The latency below which a share of the checks was, between two of them in proportion. */
function quantile(share: number, latencies: readonly number[]): unknown {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below === undefined || above === undefined ? null : expect.closeTo(below + (above - below) * (at % 1), 9);
}

/** What metrics of one address, location and day come to, told without SQL. */
function summary(metrics: readonly Metric[]): Record<string, unknown> {
  const time = (metric: Metric) => Date.parse(metric.checked_at ?? "");
  const told = metrics.filter(({ error }) => error !== "missed").toSorted((a, b) => time(a) - time(b));
  const made = told.filter((metric) => stateOf(metric) !== "unknown");
  const lasted = new Map(told.map((metric, i) => {
    const next = told[i + 1];
    const end = next === undefined ? Math.max(time(metric), Date.parse(metric.next_at ?? "") || 0) : time(next);
    return [metric, (end - time(metric)) / 1000] as const;
  }));
  let [outage, longest] = [0, 0];
  for (const metric of told) {
    outage = stateOf(metric) === "down" ? outage + (lasted.get(metric) ?? 0) : 0;
    longest = Math.max(longest, outage);
  }
  const isDown = (metric: Metric) => stateOf(metric) === "down";
  const latencies = made.filter(({ status_code }) => status_code !== null).map(({ latency }) => latency);
  const expiries = metrics.flatMap(({ tls_expires_at }) => tls_expires_at === null ? [] : [Date.parse(tls_expires_at)]);
  return {
    checks: made.length,
    up: made.filter((metric) => !isDown(metric)).length,
    down: made.filter(isDown).length,
    missed: metrics.length - told.length,
    removed: told.length - made.length,
    seconds_down: expect.closeTo(sum(made.filter(isDown).map((metric) => lasted.get(metric) ?? 0)), 3),
    longest_outage: expect.closeTo(longest, 3),
    latency_max: latencies.length === 0 ? null : Math.max(...latencies),
    latency_p50: quantile(0.5, latencies),
    latency_p95: quantile(0.95, latencies),
    latency_p99: quantile(0.99, latencies),
    ...histogram(latencies),
    expires: expiries.length === 0 ? null : Math.min(...expiries),
  };
}

const SUMMARY = `address, location, day::text as day, checks, up, down, missed, removed, seconds_down,
  extract(epoch from longest_outage)::float8 as longest_outage, latency_max,
  latency_p50, latency_p95, latency_p99, latency_from, latency_counts::text as counts,
  (extract(epoch from tls_expires_at) * 1000)::float8 as expires`;

const KINDS = kindsOf();

describe.each(KINDS)("days on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    it.each(["month", "day", "none"] as const)(
      "each address, location and day has one row that says what its checks say (parts: %s)",
      async (partition) => {
        const world = await World.open(database, partition);
        const metrics = history(new Random(7), 4);
        await world.store(metrics);
        expect(await world.rollUpAll()).toEqual(["2026-01-13", "2026-01-12", "2026-01-11", "2026-01-10"]);
        const groups = Map.groupBy(metrics, ({ address, location, scheduled_at }) => {
          return JSON.stringify([(scheduled_at ?? "").slice(0, 10), address, location ?? ""]);
        });
        const expected = [...groups].toSorted(([a], [b]) => a < b ? -1 : 1).map(([key, group]) => {
          const [day, address, location] = JSON.parse(key);
          return { address, location, day, ...summary(group) };
        });
        expect(await world.daily(SUMMARY)).toEqual(expected);
        expect(expected.length).toBeGreaterThan(30);
        expect(await world.differences()).toEqual([]);
        expect(await world.unsettled()).toEqual([]);
      },
    );

    it("the percentiles of several places and of the rows themselves differ by 5 % at most", async () => {
      const world = await World.open(database);
      const random = new Random(3);
      const metrics = Array.from({ length: 2000 }, (_, i) => ({
        scheduled_at: new Date(Date.UTC(2026, 0, 10) + i * 1000).toISOString(),
        location: random.pick(["Rome", "Oslo"]),
        latency: Math.exp(random.next() * 9 - 7),
      }));
      await world.store(metrics);
      await world.rollUpAll();
      const sorted = metrics.map(({ latency }) => latency).sort((a, b) => a - b);
      const [row] = await database.query<Record<string, number>>(
        `select latency_p50, latency_p95, latency_p99 from ${world.name}_uptime`,
      );
      for (const [name, share] of [["latency_p50", 0.5], ["latency_p95", 0.95], ["latency_p99", 0.99]] as const) {
        const exact = sorted[Math.ceil(share * sorted.length) - 1] as number;
        expect(Math.abs((row?.[name] as number) / exact - 1)).toBeLessThan(0.05);
      }
    });

    it("…_uptime and …_now say the same before a roll-up and after it", async () => {
      const world = await World.open(database);
      // One place: the percentiles of several are told by the histograms only.
      await world.store(history(new Random(11), 3).filter(({ location }) => location === null));
      await world.store([
        { address: "gone", scheduled_at: at("10T10:00:00"), checked_at: at("10T10:00:00") },
        { address: "gone", scheduled_at: at("11T10:00:00"), checked_at: at("11T10:00:00"), ...removed },
        { address: "old", scheduled_at: at("05T10:00:00"), checked_at: at("05T10:00:00"), status_code: 503 },
        { address: "old", scheduled_at: at("06T10:00:00"), checked_at: at("06T10:00:00"), ...missed },
        { address: "now", scheduled_at: new Date().toISOString(), checked_at: new Date().toISOString() },
        { address: "now", scheduled_at: at("05T10:00:00"), checked_at: at("05T10:00:00"), status_code: 503 },
        { address: "new", scheduled_at: new Date().toISOString(), checked_at: new Date().toISOString() },
        { address: "young", scheduled_at: new Date().toISOString(), checked_at: new Date().toISOString() },
        { address: "zero", scheduled_at: at("05T10:00:00"), checked_at: at("05T10:00:00") },
      ]);
      const ask = async () => ({
        uptime: await database.query(
          `select address, day::text, checks::int, up_percent::float8, latency_p50, latency_p95, latency_p99,
             longest_outage::text, missed::int, seconds_down from ${world.name}_uptime order by 1, 2`,
        ),
        now: await database.query(
          `select address, up, status_code, checked_at::text, reason, state from ${world.name}_now order by 1`,
        ),
      });
      const before = await ask();
      expect(before.now.map((row) => (row as { address: string }).address)).toEqual(
        expect.arrayContaining(["a", "new", "now", "old", "young", "zero"]),
      );
      expect(before.now).not.toContainEqual(expect.objectContaining({ address: "gone" }));
      expect(await world.rollUpAll()).toHaveLength(5);
      expect(await ask()).toEqual(before);
    });

    it("a row that comes late has its day rolled up again, and only that one", async () => {
      const world = await World.open(database);
      await world.store(history(new Random(5), 2));
      await world.rollUpAll();
      await world.store([{ address: "late", scheduled_at: at("10T12:00:00"), checked_at: at("10T12:00:00") }]);
      expect(await world.unsettled()).toEqual(["2026-01-10"]);
      expect(await world.rollUpAll()).toEqual(["2026-01-10"]);
      expect(await world.differences()).toEqual([]);
      expect(await world.daily("address")).toContainEqual({ address: "late" });
    });

    it("rows that come between any two bites of a roll-up are in the next one", async () => {
      const world = await World.open(database);
      await world.store(history(new Random(5), 1));
      let bites = 0;
      const quiet = async () => {
        // Before the day is taken, and before each bite.
        if (++bites > 4) return;
        const time = at(`10T12:00:0${bites}`);
        await world.store([{ address: "a", scheduled_at: time, checked_at: time }]);
      };
      const days = await world.rollUpAll(await world.rollUp({ quiet }));
      expect(new Set(days)).toEqual(new Set(["2026-01-10"]));
      expect(days.length).toBeGreaterThan(1);
      expect(await world.unsettled()).toEqual([]);
      expect(await world.differences()).toEqual([]);
    });

    it("rows that were deleted since do not shrink a day that is rolled up again", async () => {
      const world = await World.open(database);
      const check = (time: string) => ({ address: "a", scheduled_at: at(time), checked_at: at(time) });
      await world.store(["10T10:00:00", "10T11:00:00"].map(check));
      await world.rollUpAll();
      await database.query(`delete from ${world.tables.main}`);
      await world.store([check("10T12:00:00")]);
      expect(await world.rollUpAll()).toEqual(["2026-01-10"]);
      expect(await world.daily("checks")).toEqual([{ checks: 2 }]);
    });

    it("unsettledDays tells the days of a span whose rows are still needed, those that nobody noted too", async () => {
      const world = await World.open(database);
      await world.store([10, 11, 12].map((day) => ({ scheduled_at: at(`${day}T10:00:00`) })));
      const span = { from: Date.UTC(2026, 0, 9), to: Date.UTC(2026, 0, 13) };
      const ask = () => unsettledDays(database, world.tables, span);
      expect(await ask()).toEqual(["2026-01-09", "2026-01-10", "2026-01-11", "2026-01-12"]);
      await world.rollUpAll();
      expect(await ask()).toEqual([]);
      await world.store([{ scheduled_at: at("11T23:59:59") }]);
      expect(await ask()).toEqual(["2026-01-11"]);
    });

    it("the days of parts that somebody else has filled are rolled up too", async () => {
      const world = await World.open(database);
      await world.store([{ scheduled_at: at("10T10:00:00") }]);
      await world.rollUpAll();
      await database.query(
        `insert into ${world.tables.main} (address, latency, is_valid, scheduled_at, checked_at)
         values ('theirs', 1, true, '2026-01-20 10:00Z', '2026-01-20 10:00Z')`,
      );
      const rollUp = await world.rollUp();
      await rollUp.adopt();
      expect(await world.rollUpAll(rollUp)).toContain("2026-01-20");
      expect(await world.daily("address, day::text as day")).toContainEqual({ address: "theirs", day: "2026-01-20" });
      expect(await world.differences()).toEqual([]);
    });
  });
});

describe.skipIf(postgresMissing !== null)(`days of several consumers ${postgresMissing ?? ""}`, () => {
  let database: Database;
  beforeAll(() => {
    database = openPostgres(server.settings);
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  /** A day of 99 addresses, whose roller was stopped behind its first bite. */
  async function stoppedInTheMiddle(): Promise<World> {
    const world = await World.open(database);
    await world.store(Array.from({ length: 99 }, (_, i) => ({ address: `a${i}`, scheduled_at: at("10T10:00:00") })));
    const stopped = new AbortController();
    let looks = 0;
    // Before the day is taken, before the first bite, and before the second.
    const roller = await world.rollUp({ quiet: () => Promise.resolve(void (++looks === 3 && stopped.abort())) });
    expect(await roller.next(stopped.signal)).toBeNull();
    return world;
  }

  it("of two consumers one rolls up; the other takes over once that one is dead, and goes on where it stopped", async () => {
    const world = await stoppedInTheMiddle();
    const [{ rolled } = { rolled: 0 }] = await world.daily<{ rolled: number }>("count(*) over ()::int as rolled");
    expect(rolled).toBeGreaterThan(0);
    expect(rolled).toBeLessThan(99);
    expect(await world.unsettled()).toEqual(["2026-01-10"]);
    // As if it had been killed instead of stopped.
    await database.query(`update ${world.tables.days} set bitten_at = now()`);
    const second = await world.rollUp();
    expect(await second.next(never)).toBeNull();
    await database.query(`update ${world.tables.days} set bitten_at = now() - interval '61 seconds'`);
    // Would be computed anew, were they read again.
    await database.query(`update ${world.tables.daily} set latency_max = -1`);
    expect(await world.rollUpAll(second)).toEqual(["2026-01-10"]);
    const kept = await world.daily<{ worst: number }>("latency_max as worst");
    expect(kept).toHaveLength(99);
    expect(kept.filter(({ worst }) => worst === -1)).toHaveLength(rolled);
  });

  it("a consumer that is stopped in the middle of a day leaves it to the next one at once", async () => {
    const world = await stoppedInTheMiddle();
    expect(await world.rollUpAll()).toEqual(["2026-01-10"]);
    expect(await world.daily("address")).toHaveLength(99);
  });

  it("a consumer that was frozen in a bite overwrites nothing once another one has taken over its day", async () => {
    await using frozen = openPostgres(server.settings);
    const world = await World.open(database);
    await world.store([{ address: "a", scheduled_at: at("10T10:00:00") }]);
    const isReached = Promise.withResolvers<void>();
    const thaw = Promise.withResolvers<void>();
    const slow = intercepting(frozen, async (text) => {
      if (!text.includes("with recursive addresses")) return;
      isReached.resolve();
      await thaw.promise;
    });
    const first = await world.rollUp(undefined, slow);
    const late = first.next(never);
    await isReached.promise;
    await database.query(`update ${world.tables.days} set bitten_at = now() - interval '61 seconds'`);
    await world.store([{ address: "a", scheduled_at: at("10T11:00:00") }]);
    expect(await world.rollUpAll()).toHaveLength(2);
    thaw.resolve();
    expect(await late).toBeNull();
    expect(await world.daily("checks")).toEqual([{ checks: 2 }]);
    expect(await world.unsettled()).toEqual([]);
    expect(await world.differences()).toEqual([]);
  });

  const isWaiting = () =>
    eventually(
      async () => (await server.sql`select from pg_locks where not granted`).length === 1,
      () => "The writer does not wait",
    );

  it("a writer that began before a roll-up and ends after it has its day rolled up again", async () => {
    const world = await World.open(database);
    await world.store([{ address: "a", scheduled_at: at("10T10:00:00") }]);
    await using connection = openPostgres(server.settings);
    const writer = await World.open(connection, "month", world.name);
    const holder = await server.sql.reserve();
    try {
      await holder.unsafe(`begin; select from ${world.tables.offsets} for update`);
      // It sees the days as they are now, and waits for its mark.
      const stored = writer.store([{ address: "late", scheduled_at: at("10T11:00:00") }]);
      await isWaiting();
      expect(await world.rollUpAll()).toEqual(["2026-01-10"]);
      expect(await world.unsettled()).toEqual([]);
      await holder.unsafe("rollback");
      await stored;
    } finally {
      holder.release();
    }
    expect(await world.unsettled()).toEqual(["2026-01-10"]);
    expect(await world.rollUpAll()).toEqual(["2026-01-10"]);
    expect(await world.differences()).toEqual([]);
    expect(await world.daily("address")).toEqual([{ address: "a" }, { address: "late" }]);
  });

  it("a day for which a writer has rows under way is not taken: these would be missed", async () => {
    const world = await World.open(database);
    await world.store([{ address: "a", scheduled_at: at("10T10:00:00") }]);
    await using connection = openPostgres(server.settings);
    const writer = await World.open(connection, "month", world.name);
    const holder = await server.sql.reserve();
    try {
      await holder.unsafe(`begin; insert into ${world.tables.days} (day) values ('2026-01-20')`);
      const stored = writer.store(["10T11:00:00", "20T11:00:00"].map((time) => ({ scheduled_at: at(time) })));
      await isWaiting();
      expect(await world.rollUpAll()).toEqual([]);
      await holder.unsafe("rollback");
      await stored;
    } finally {
      holder.release();
    }
    expect(await world.rollUpAll()).toEqual(["2026-01-20", "2026-01-10"]);
    expect(await world.differences()).toEqual([]);
  });

  it("a roll-up waits for a pause of the storing", async () => {
    await using connection = openPostgres(server.settings);
    const world = await World.open(connection);
    const tables = await prepareTables(connection, { schema: null, name: world.name });
    const marks = new Marks(connection, tables);
    const identity = { topic: "t", topicId: randomUUID() };
    await marks.claim(identity, new Map([[0, 0]]));
    const writer = new TableWriter(connection, tables, {
      marks,
      encoder: new BatchEncoder(),
      most: 100,
      events: { ...silent, rejected() {}, ended() {}, grown() {}, parts() {} },
      lookAtKept: () => Promise.resolve(),
      tracker: null,
    });
    await writer.quiet(never);
    const holder = await server.sql.reserve();
    let isQuiet = false;
    try {
      await holder.unsafe(`begin; select from ${world.tables.offsets} for update`);
      const entries = [{ partition: 0, offset: 0, key: null, value: null, content: metricWith() }];
      const stored = writer.store(identity, writer.encode({ ranges: new Map([[0, { start: 0, next: 1 }]]), entries }));
      await isWaiting();
      const quiet = writer.quiet(never).then(() => isQuiet = true);
      await server.sql`select`;
      expect(isQuiet).toBe(false);
      await holder.unsafe("rollback");
      expect(await stored).toBe("stored");
      await quiet;
    } finally {
      holder.release();
    }
  });

  it("writers of one day do not wait for one another", async () => {
    const world = await World.open(database);
    await world.store([{ address: "a", scheduled_at: at("10T10:00:00") }]);
    const holder = await server.sql.reserve();
    try {
      await holder.unsafe(`begin; select from ${world.tables.days} for share`);
      await world.store([{ address: "b", scheduled_at: at("10T10:00:00") }]);
      await holder.unsafe("rollback");
    } finally {
      holder.release();
    }
    expect(await world.rollUpAll()).toEqual(["2026-01-10"]);
  });
});
