import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { parseKeep } from "../../lib/config/keep.ts";
import type { TableName } from "../../lib/config/setting_types.ts";
import type { RetentionSettings } from "../../lib/config/settings.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { type KeepState, keptFrom, nextState, NOTHING_KNOWN } from "../../lib/postgres/keep_state.ts";
import { partEnding, spanOf, spansFrom } from "../../lib/postgres/part_spans.ts";
import { unsettledDays } from "../../lib/postgres/days.ts";
import type { OldPart } from "../../lib/postgres/old_parts.ts";
import { DAILY_COLUMNS } from "../../lib/postgres/daily_sql.ts";
import { readParts } from "../../lib/postgres/parts.ts";
import { Retention } from "../../lib/postgres/retention.ts";
import { dayGrants, grants, quoteTables } from "../../lib/postgres/schema.ts";
import { schemaSql } from "../../lib/postgres/schema_text.ts";
import { type Entry, Store } from "../../lib/postgres/store.ts";
import { prepareTables, type Tables } from "../../lib/postgres/tables.ts";
import { intercepting } from "../support/databases.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { dayDifferences, rollUpAll, rollUpOf } from "../support/days.ts";
import { eventually } from "../support/eventually.ts";
import { metricWith } from "../support/metrics.ts";
import { ownPostgresMissing, postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { RUNTIMES, start } from "../support/programs.ts";
import { createRole } from "../support/roles.ts";
import { denoMissing } from "../support/runtimes.ts";
import { inTurn } from "../support/turns.ts";

const DAY = 86_400_000;
const keep = (rows: string, rejected = "all", isNow = false, daily = "all"): RetentionSettings => {
  return { rows: parseKeep(rows), rejected: parseKeep(rejected), daily: parseKeep(daily), evidence: "all", isNow };
};

describe("nextState", () => {
  const state = (text: string, shorter: string | null = null, shorterAt = 0): KeepState => {
    return {
      ...NOTHING_KNOWN,
      keep: parseKeep(text),
      shorter: shorter === null ? null : parseKeep(shorter),
      shorterAt,
    };
  };
  const now = Date.UTC(2026, 10, 29);
  const calm = { now, isNow: false, isHarmless: false };

  it.each<readonly [string, KeepState, string, Partial<typeof calm>, KeepState]>([
    ["a longer time counts at once", state("5days"), "5years", {}, state("5years")],
    ["the same time changes nothing", state("5days"), "5days", {}, state("5days")],
    ["the same time in another unit counts at once", state("5years"), "60months", {}, state("60months")],
    ["a shorter time waits a day", state("5years"), "5days", {}, state("5years", "5days", now + DAY)],
    ["the first time waits a day", state("all"), "5years", {}, state("all", "5years", now + DAY)],
    ["a shorter time counts at once in a hurry", state("5years"), "5days", { isNow: true }, state("5days")],
    [
      "a shorter time counts at once where nothing goes",
      state("5years"),
      "5days",
      { isHarmless: true },
      state("5days"),
    ],
    ["its day goes on", state("5years", "5days", now + 1), "5days", {}, state("5years", "5days", now + 1)],
    ["it counts after its day", state("5years", "5days", now), "5days", {}, state("5days")],
    [
      "another shorter time waits a day",
      state("5years", "5days", now),
      "6days",
      {},
      state("5years", "6days", now + DAY),
    ],
    ["set back, nothing waits", state("5years", "5days", now + 1), "5years", {}, state("5years")],
    ["set back to all, nothing waits", state("5years", "5days", now + 1), "all", {}, state("all")],
  ])("%s", (_, before, wanted, options, after) => {
    expect(nextState(before, parseKeep(wanted), { ...calm, ...options })).toEqual(after);
  });

  it("what has gone is not taken, however long is kept later", () => {
    expect(keptFrom({ ...state("5days"), goneBefore: now - 9 * DAY }, now)).toBe(now - 5 * DAY);
    expect(keptFrom({ ...state("5years"), goneBefore: now - 9 * DAY }, now)).toBe(now - 9 * DAY);
    expect(keptFrom(state("all"), now)).toBe(-Infinity);
  });
});

let server: TestPostgres;
const kindsOf = databaseKinds((started) => server = started);

const newTable = (): TableName => ({ schema: "public", name: `k_${randomUUID().slice(0, 8)}` });

/** A metric that was due at a moment. */
function entry(offset: number, scheduledAt: number): Entry {
  const at = new Date(scheduledAt).toISOString();
  const content = metricWith({ address: `a${offset}`, scheduled_at: at, checked_at: at, check_id: randomUUID() });
  return { partition: 0, offset, key: null, value: null, content };
}

/** Stores metrics that were due at these moments, with any marks of their own. */
async function storeAt(store: Store, ...moments: readonly number[]): Promise<void> {
  const source = { topic: "t", topicId: randomUUID() };
  await store.marks.claim(source, new Map([[0, 0]]));
  const ranges = new Map([[0, { start: 0, next: moments.length }]]);
  expect(await store.flush(source, ranges, moments.map((at, i) => entry(i, at)))).toBe("stored");
}

interface Told {
  readonly told: [what: string, isTrouble: boolean][];
  readonly work: { readonly signal: AbortSignal; tell(what: string, isTrouble: boolean): void };
}

function listening(): Told {
  const told: Told["told"] = [];
  return { told, work: { signal: new AbortController().signal, tell: (...what) => void told.push(what) } };
}

/** The days of a part that hold it, as the test has it. */
type DaysHolding = (database: Database, part: OldPart) => Promise<readonly string[]>;

/**
 * The retention of tables, as the store has it, for a sweep when a test wants one. Without
 * `daysHolding` no part waits for its days.
 */
async function retentionOf(
  database: Database,
  table: TableName,
  wanted: RetentionSettings,
  daysHolding?: DaysHolding,
): Promise<Retention> {
  const found = await prepareTables(database, table, "month", { rows: true, rejected: true, daily: true });
  const tables: Tables = { ...found, hasDays: daysHolding !== undefined };
  return new Retention({
    wanted,
    tables: () => tables,
    onKept: () => {},
    daysHolding: daysHolding ?? (() => Promise.resolve([])),
  });
}

const countIn = async (database: Database, relation: string, where = "true") =>
  (await database.query<{ rows: number }>(`select count(*)::int as rows from ${relation} where ${where}`))[0]?.rows;

/** The endings of the names of a table's parts. */
async function endings(database: Database, table: TableName): Promise<string[]> {
  const parted = await readParts(database, quoteTables(table).main);
  return parted?.parts.map(({ name }) => name.replace(table.name, "")) ?? [];
}

const monthEnding = (at: number) => partEnding("month", spanOf("month", at));
const monthsAhead = (now = Date.now()) => spansFrom("month", now, 4).map(({ from }) => monthEnding(from));
/** The middle of the month that is so many months before this one. */
const monthsAgo = (count: number) => {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - count, 15);
};

const kinds = kindsOf();

describe.each(kinds)("retention on $kind", (kind) => {
  const { missing, open } = kind;
  const long = inTurn(kinds, kind);
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());
  afterEach(() => void vi.useRealTimers());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    it("parts that are older as a whole go, the oldest first, with their rows counted; none of them comes back", async () => {
      const table = newTable();
      const { main, rejected } = quoteTables(table);
      await storeAt(await Store.open(database, table), monthsAgo(9), monthsAgo(9), monthsAgo(5), monthsAgo(1));
      const wanted = keep("3months", "all", true);
      const { told, work } = listening();
      const store = await Store.open(database, table, { retention: wanted });
      expect(await (await retentionOf(database, table, wanted)).sweep(database, work)).toBe(true);
      expect(told).toEqual([
        [`public.${table.name}${monthEnding(monthsAgo(9))} was dropped with its 2 rows: 3months are kept`, false],
        [`public.${table.name}${monthEnding(monthsAgo(5))} was dropped with its 1 row: 3months are kept`, false],
      ]);
      expect(await endings(database, table)).toEqual([monthEnding(monthsAgo(1)), ...monthsAhead()]);

      await storeAt(store, monthsAgo(5), Date.now(), monthsAgo(1));
      expect(store.counters).toMatchObject({ rows: 2, rejected: 1 });
      expect(await countIn(database, main)).toBe(3);
      expect(await database.query(`select "offset"::int as at, reason from ${rejected}`)).toEqual([{
        at: 0,
        reason: expect.stringMatching(
          /^scheduled_at: \S+ is too old: rows are kept from \S+Z on \(DB_KEEP \(--db-keep\) is 3months\)$/,
        ),
      }]);
      expect(await endings(database, table)).toEqual([monthEnding(monthsAgo(1)), ...monthsAhead()]);
    });

    it("a metric that was encoded before its part went is rejected: the part is not made again", async () => {
      const table = newTable();
      const wanted = keep("3months", "all", true);
      const writer = await Store.open(database, table, { retention: keep("all") });
      await storeAt(writer, monthsAgo(9));
      const store = await Store.open(database, table, { retention: wanted });
      // This one has not looked since, as a consumer of a longer batch has not.
      const early = await Store.open(database, table);
      const encode = () => early.encode([entry(0, monthsAgo(9)), entry(1, Date.now())]);
      const encoded = encode();
      await (await retentionOf(database, table, wanted)).sweep(database, listening().work);
      const source = { topic: "t", topicId: randomUUID() };
      await store.marks.claim(source, new Map([[0, 0]]));
      expect(await store.flushEncoded(source, new Map([[0, { start: 0, next: 2 }]]), [encoded])).toBe("stored");
      expect(store.counters).toMatchObject({ rows: 1, rejected: 1 });
      // Nor does one make it that keeps everything, and began before anything went.
      const other = { topic: "t", topicId: randomUUID() };
      await writer.marks.claim(other, new Map([[0, 0]]));
      expect(await writer.flushEncoded(other, new Map([[0, { start: 0, next: 2 }]]), [encode()])).toBe("stored");
      expect(writer.counters).toMatchObject({ rows: 2, rejected: 1 });
      expect(await endings(database, table)).toEqual(monthsAhead());
    });

    it("a part that goes while another consumer is about to make it is not made", async () => {
      const table = newTable();
      const { keep: kept } = quoteTables(table);
      const retention = keep("5years");
      await Store.open(database, table, { retention });
      const { to } = spanOf("month", monthsAgo(9));
      const racing = {
        ...intercepting(database, () => {}),
        script: async (text: string) => {
          // What the transaction leaves that drops the part.
          const goneBefore = `'${new Date(to).toISOString()}'`;
          if (text.includes("attach")) await database.script(`update ${kept} set gone_before = ${goneBefore}`);
          await database.script(text);
        },
      };
      const store = await Store.open(racing, table, { retention });
      await storeAt(store, monthsAgo(9), Date.now(), to);
      expect(store.counters).toMatchObject({ rows: 2, rejected: 1 });
      expect(await endings(database, table)).toEqual([monthEnding(to), ...monthsAhead()]);
    });

    it.each([
      ["scheduled_at and checked_at", "scheduled_at timestamptz, checked_at timestamptz"],
      ["checked_at alone", "checked_at timestamptz"],
      ["a timestamp without a zone", "scheduled_at timestamp"],
    ])("rows of a table of one's own with %s go by their time", async (_, columns) => {
      const table = newTable();
      const { main, rejected } = quoteTables(table);
      await database.script(
        `create table ${main} (address text, status_code int, latency real, is_valid bool, ${columns})`,
      );
      const before = await Store.open(database, table);
      const now = Date.now();
      await storeAt(before, now - 8 * DAY, now - 6 * DAY, ...Array(3000).fill(now - 40 * DAY), now);
      const wanted = keep("7days", "all", true);
      const { told, work } = listening();
      expect(await (await retentionOf(database, table, wanted)).sweep(database, work)).toBe(true);
      expect(told).toEqual([
        [`3001 rows of ${main} deleted: 7days are kept`, false],
      ]);
      expect(await database.query(`select address from ${main} order by 1`)).toEqual([{ address: "a1" }, {
        address: "a3002",
      }]);
      const store = await Store.open(database, table, { retention: wanted });
      await storeAt(store, now - 8 * DAY, now);
      expect(store.counters).toMatchObject({ rows: 1, rejected: 1 });
      expect(await countIn(database, rejected)).toBe(1);
      // The next pass is due in a day.
      expect(await (await retentionOf(database, table, wanted)).sweep(database, work)).toBe(true);
      expect(told).toHaveLength(1);
    });

    it("a table without a time keeps its rows, and says so", async () => {
      const table = newTable();
      const { main } = quoteTables(table);
      await database.script(`create table ${main} (address text, status_code int, latency real, is_valid bool)`);
      await storeAt(await Store.open(database, table), monthsAgo(9));
      const { told, work } = listening();
      await (await retentionOf(database, table, keep("1month", "all", true))).sweep(database, work);
      expect(told).toEqual([[expect.stringContaining("has no column scheduled_at or checked_at"), true]]);
      expect(await countIn(database, main)).toBe(1);
    });

    it("rejected messages go by the time of their rejection, and rows stay", async () => {
      const table = newTable();
      const { main, rejected } = quoteTables(table);
      await storeAt(await Store.open(database, table), monthsAgo(9), Date.UTC(1999, 0), Date.UTC(1999, 1));
      await database.script(`update ${rejected} set rejected_at = now() - interval '31 days' where "offset" = 1`);
      const { told, work } = listening();
      await (await retentionOf(database, table, keep("all", "30days", true))).sweep(database, work);
      expect(told).toEqual([[`1 row of ${rejected} deleted: 30days are kept`, false]]);
      expect(await database.query(`select "offset"::int as at from ${rejected}`)).toEqual([{ at: 2 }]);
      expect(await countIn(database, main)).toBe(1);
    });

    it("days that are older as a whole go, after a day's warning; rows stay", async () => {
      const table = newTable();
      const { main, daily, keep: kept } = quoteTables(table);
      const midnight = Math.floor(Date.now() / DAY) * DAY;
      await storeAt(await Store.open(database, table, { partition: "none" }), midnight - DAY);
      await rollUpAll(await rollUpOf(database, table));
      const columns = Object.keys(DAILY_COLUMNS);
      await database.script(
        `insert into ${daily} (${columns.join(", ")})
         select ${columns.map((column) => column === "day" ? "day - n" : column).join(", ")}
         from ${daily} cross join generate_series(1, 2099) n`,
      );
      const wanted = keep("all", "all", false, "30days");
      const sweep = async () => {
        const { told, work } = listening();
        expect(await (await retentionOf(database, table, wanted, () => Promise.resolve([]))).sweep(database, work))
          .toBe(true);
        return told;
      };
      expect(await sweep()).toEqual([[
        expect.stringMatching(
          /^DB_KEEP_DAILY \(--db-keep-daily\) was shortened from all to 30days, .+ these go: rows of .+_daily" from before/,
        ),
        true,
      ]]);
      expect(await countIn(database, daily)).toBe(2100);
      await database.script(`update ${kept} set shorter_at = now() where what = 'daily'`);
      expect(await sweep()).toEqual([[`2070 rows of ${daily} deleted: 30days are kept`, false]]);
      expect(await database.query(`select min(day)::text as first from ${daily}`)).toEqual([
        { first: new Date(midnight - 30 * DAY).toISOString().slice(0, 10) },
      ]);
      expect(await countIn(database, main)).toBe(1);
      expect(await sweep()).toEqual([]);
    });

    it("a table without days says that no time to keep them has an effect", async () => {
      const table = newTable();
      await Store.open(database, table);
      const { told, work } = listening();
      await (await retentionOf(database, table, keep("all", "all", true, "30days"))).sweep(database, work);
      expect(told).toEqual([[
        `DB_KEEP_DAILY (--db-keep-daily) has no effect: no days of ${quoteTables(table).main} are rolled up`,
        true,
      ]]);
    });

    it("a shorter time waits a day, remembered over restarts, and says what would go; set back, nothing goes", async () => {
      const table = newTable();
      const { main, keep: kept } = quoteTables(table);
      const begin = async (text: string, isNow = false) => {
        const retention = keep(text, "all", isNow);
        const store = await Store.open(database, table, { retention });
        const { told, work } = listening();
        await (await retentionOf(database, table, retention)).sweep(database, work);
        return { store, told };
      };
      // Nothing is older yet, so it counts from the beginning.
      const { store, told } = await begin("5years");
      expect(told).toEqual([]);
      await storeAt(store, monthsAgo(50), monthsAgo(2));
      const first = await begin("5days");
      expect(first.told).toEqual([[
        expect.stringMatching(
          `^DB_KEEP \\(--db-keep\\) was shortened from 5years to 5days, which counts from \\S+Z on. Then these go: ` +
            `public.${table.name}${monthEnding(monthsAgo(50))} to public.${table.name}${monthEnding(monthsAgo(2))} ` +
            `\\(2 parts, \\d+ MiB\\). Set it back to keep them; with --db-keep-now they go at once$`,
        ),
        true,
      ]]);
      // Meanwhile old metrics are taken.
      await storeAt(first.store, monthsAgo(50));
      expect(await countIn(database, main)).toBe(3);
      const [before] = await database.query(`select shorter_at::text from ${kept} where what = 'rows'`);
      await begin("5days");
      expect(await database.query(`select shorter_at::text from ${kept} where what = 'rows'`)).toEqual([before]);
      // Set back by whoever has seen the warning.
      await begin("5years");
      expect(await database.query(`select keep, shorter from ${kept} where what = 'rows'`)).toEqual([
        { keep: "5years", shorter: null },
      ]);
      await begin("5days");
      expect(await countIn(database, main)).toBe(3);
      await database.script(`update ${kept} set shorter_at = now() where what = 'rows'`);
      expect((await begin("5days")).told).toHaveLength(2);
      expect(await countIn(database, main)).toBe(0);
      expect(await endings(database, table)).toEqual(monthsAhead());
      // A longer time counts at once, but what has gone does not come back.
      const last = await begin("5years");
      await storeAt(last.store, monthsAgo(2), Date.now());
      expect(last.store.counters).toMatchObject({ rows: 1, rejected: 1 });
    });

    it("somebody in a hurry need not wait", async () => {
      const table = newTable();
      await storeAt(await Store.open(database, table), monthsAgo(50));
      const { told, work } = listening();
      await (await retentionOf(database, table, keep("5years"))).sweep(database, work);
      await (await retentionOf(database, table, keep("5days", "all", true))).sweep(database, work);
      expect(told).toEqual([[expect.stringContaining("was dropped with its 1 row: 5days are kept"), false]]);
    });

    it("a part stays for as long as a day of it is needed", async () => {
      const table = newTable();
      await storeAt(await Store.open(database, table), monthsAgo(9), monthsAgo(8));
      await rollUpAll(await rollUpOf(database, table));
      const needed = ["2026-02-14"];
      const retention = await retentionOf(
        database,
        table,
        keep("1month", "all", true),
        () => Promise.resolve(needed.splice(0)),
      );
      const { told, work } = listening();
      expect(await retention.sweep(database, work)).toBe(false);
      expect(told).toEqual([
        [`public.${table.name}${monthEnding(monthsAgo(9))} stays for now: 2026-02-14 must be kept`, true],
        [expect.stringContaining(monthEnding(monthsAgo(8))), false],
      ]);
      expect(await retention.sweep(database, work)).toBe(true);
      expect(await endings(database, table)).toEqual(monthsAhead());
    });

    it("a row that comes between the look at the days and the drop keeps its part until its day is rolled up again", async () => {
      const table = newTable();
      const { daily } = quoteTables(table);
      const store = await Store.open(database, table);
      await storeAt(store, monthsAgo(9), monthsAgo(1));
      const rollUp = await rollUpOf(database, table);
      await rollUpAll(rollUp);
      const late = [monthsAgo(9)];
      const retention = await retentionOf(database, table, keep("3months", "all", true), async () => {
        await storeAt(store, ...late.splice(0));
        return [];
      });
      const { told, work } = listening();
      expect(await retention.sweep(database, work)).toBe(false);
      expect(told).toEqual([]);
      expect(await countIn(database, quoteTables(table).main)).toBe(3);
      expect(await rollUpAll(rollUp)).toHaveLength(1);
      expect(await retention.sweep(database, work)).toBe(true);
      expect(told).toEqual([[expect.stringContaining("was dropped with its 2 rows: 3months are kept"), false]]);
      expect(await database.query(`select sum(checks)::int as checks from ${daily}`)).toEqual([{ checks: 3 }]);
    });

    it("days whose rows are about to go are rolled up first, the others with the newest first", async () => {
      const table = newTable();
      await storeAt(await Store.open(database, table), monthsAgo(9), monthsAgo(8), monthsAgo(2), monthsAgo(1));
      const keptFrom = new Date(monthsAgo(3)).toISOString();
      const rollUp = await rollUpOf(database, table, { quiet: () => Promise.resolve(), keptFrom: () => keptFrom });
      const days = [8, 9, 1, 2].map((months) => new Date(monthsAgo(months)).toISOString().slice(0, 10));
      expect(await rollUpAll(rollUp)).toEqual(days);
    });

    it("a clock that is a year ahead lets nothing go, nor is a metric refused by it", async () => {
      const table = newTable();
      const { main } = quoteTables(table);
      const store = await Store.open(database, table, { retention: keep("3months") });
      await storeAt(store, monthsAgo(1));
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 365 * DAY });
      await (await retentionOf(database, table, keep("3months"))).sweep(database, listening().work);
      const wrong = await Store.open(database, table, { retention: keep("3months") });
      vi.useRealTimers();
      await storeAt(wrong, monthsAgo(1), Date.now());
      expect(await countIn(database, main)).toBe(3);
    });

    it("who keeps everything has no table for it", async () => {
      const table = newTable();
      await Store.open(database, table, { retention: keep("all") });
      expect(await database.query(`select to_regclass('${quoteTables(table).keep}')::text as found`)).toEqual([
        { found: null },
      ]);
    });

    long("in a year's life each month is made ahead, each old one goes, and every day stays rolled up", async () => {
      const table = newTable();
      const { main, daily } = quoteTables(table);
      const begin = Date.UTC(2024, 0, 20, 12);
      vi.useFakeTimers({ toFake: ["Date"], now: begin });
      const wanted = keep("3months");
      const store = await Store.open(database, table, { retention: wanted });
      const rollUp = await rollUpOf(database, table);
      const tables = await prepareTables(database, table);
      const retention = await retentionOf(
        database,
        table,
        wanted,
        (beside, part) => unsettledDays(beside, tables, part),
      );
      const { told, work } = listening();
      const ahead: boolean[] = [];
      for (let day = 11; day < 360; day += 12) {
        const days = Array.from({ length: 12 }, (_, i) => begin + (day - i) * DAY);
        vi.setSystemTime(begin + day * DAY);
        await storeAt(store, ...days);
        // A part that is to go waits for its days, those without rows too.
        if (!await retention.sweep(database, work)) {
          await rollUpAll(rollUp);
          expect(await retention.sweep(database, work)).toBe(true);
        }
        const parts = await endings(database, table);
        ahead.push(monthsAhead().every((month) => parts.includes(month)));
      }
      expect(ahead).toEqual(Array(30).fill(true));
      // Three months, and the days of the fourth that are as old.
      const months = ["_202410", "_202411", "_202412", "_202501", "_202502", "_202503", "_202504"];
      expect(await endings(database, table)).toEqual(months);
      const dropped = told.filter(([, isTrouble]) => !isTrouble);
      expect(dropped.map(([what]) => /_(\d+) was dropped with its (\d+) rows?/.exec(what)?.slice(1))).toEqual([
        ["202401", "12"],
        ["202402", "29"],
        ["202403", "31"],
        ["202404", "30"],
        ["202405", "31"],
        ["202406", "30"],
        ["202407", "31"],
        ["202408", "31"],
        ["202409", "30"],
      ]);
      expect(await countIn(database, main)).toBe(31 + 30 + 31 + 13);
      expect(store.counters).toEqual({ rows: 360, rejected: 0, missedDropped: 0 });
      await rollUpAll(rollUp);
      const last = new Date(begin + 359 * DAY).toISOString().slice(0, 10);
      expect(
        await database.query(
          `select min(day)::text as first, max(day)::text as last, count(distinct day)::int as days,
             sum(checks)::int as checks from ${daily}`,
        ),
      ).toEqual([{ first: "2024-01-20", last, days: 360, checks: 360 }]);
      expect(await dayDifferences(database, quoteTables(table), "2024-10-01")).toEqual([]);
    }, 120_000);
  });
});

describe.skipIf(postgresMissing !== null)(`retention beside others ${postgresMissing ?? ""}`, () => {
  let database: Database;
  beforeAll(() => {
    database = openPostgres(server.settings);
  });
  afterAll(() => database?.[Symbol.asyncDispose]());
  const wanted = keep("3months", "all", true);

  it.each(["a part", "the table"])("a reader of %s delays the drop, and no flush", async (what) => {
    const table = newTable();
    const { main } = quoteTables(table);
    // A flush that waited longer for its locks would fail.
    await using impatient = openPostgres(server.settings, {
      answer: 35_000,
      connect: 10_000,
      statement: 30_000,
      lock: 3_000,
    });
    const store = await Store.open(impatient, table);
    await storeAt(store, monthsAgo(9), monthsAgo(9));
    const retention = await retentionOf(database, table, wanted);
    const { told, work } = listening();
    const reader = await server.sql.reserve();
    try {
      const part = `public.${table.name}${monthEnding(monthsAgo(9))}`;
      await reader.unsafe(`begin; select from ${what === "a part" ? part : main}`);
      let isOver = false;
      const sweep = retention.sweep(database, work).finally(() => isOver = true);
      let flushes = 0;
      for (; !isOver; flushes++) await storeAt(store, Date.now());
      expect(await sweep).toBe(false);
      expect(flushes).toBeGreaterThan(0);
      expect(told).toEqual([[`${part} is too old, but is in use: it goes as soon as nobody reads it`, true]]);
      expect(await countIn(database, main)).toBe(flushes + 2);
      await reader.unsafe("rollback");
    } finally {
      reader.release();
    }
    expect(await retention.sweep(database, work)).toBe(true);
    expect(told).toHaveLength(2);
    expect(await endings(database, table)).toEqual(monthsAhead());
  });

  it("of four consumers that let the same parts go while metrics come, one drops each, and none comes back", async () => {
    const table = newTable();
    const { main, rejected } = quoteTables(table);
    const old = Array.from({ length: 12 }, (_, i) => monthsAgo(i + 5));
    await storeAt(await Store.open(database, table), ...old);
    await using resources = new AsyncDisposableStack();
    const { told, work } = listening();
    const consumers = await Promise.all(Array.from({ length: 4 }, async () => {
      const own = resources.use(openPostgres(server.settings));
      const beside = resources.use(openPostgres(server.settings));
      const store = await Store.open(own, table, { retention: wanted });
      return { store, beside, retention: await retentionOf(beside, table, wanted) };
    }));
    await Promise.all(consumers.map(async ({ store, beside, retention }) => {
      const flushing = (async () => {
        for (const at of old) await storeAt(store, at, Date.now());
      })();
      const sweeping = (async () => {
        while (!await retention.sweep(beside, work));
      })();
      await Promise.all([flushing, sweeping]);
    }));
    const dropped = told.filter(([, isTrouble]) => !isTrouble).map(([what]) => what.split(" ")[0]);
    expect(dropped.toSorted()).toEqual(old.map((at) => `public.${table.name}${monthEnding(at)}`).toSorted());
    expect(await endings(database, table)).toEqual(monthsAhead());
    expect(await countIn(database, main)).toBe(4 * 12);
    expect(await countIn(database, rejected)).toBe(4 * 12);
  });

  it("a part on which something of a user's depends stays, and the log says what; the others go with all they have", async () => {
    const table = newTable();
    const { main } = quoteTables(table);
    await storeAt(await Store.open(database, table), monthsAgo(9), monthsAgo(8), monthsAgo(7));
    const part = (months: number) => `public.${table.name}${monthEnding(monthsAgo(months))}`;
    await database.script(`create view ${table.name}_mine as select * from ${part(9)};
      create table ${table.name}_notes (address text, scheduled_at timestamptz, check_id uuid,
        foreign key (address, scheduled_at, check_id) references ${main} (address, scheduled_at, check_id));
      insert into ${table.name}_notes select address, scheduled_at, check_id from ${part(8)};
      create index on ${part(7)} (latency);
      create function ${table.name}_f() returns trigger language plpgsql as 'begin return new; end';
      create trigger t before insert on ${part(7)} for each row execute function ${table.name}_f()`);
    const { told, work } = listening();
    const retention = await retentionOf(database, table, wanted);
    expect(await retention.sweep(database, work)).toBe(false);
    expect(told).toEqual([
      [expect.stringMatching(`^${part(9)} is too old, but cannot be dropped: .+${table.name}_mine`), true],
      [expect.stringMatching(`^${part(8)} is too old, but cannot be dropped: .+${table.name}_notes`), true],
      [`${part(7)} was dropped with its 1 row: 3months are kept`, false],
    ]);
    expect(await countIn(database, main)).toBe(2);
    await database.script(`drop view ${table.name}_mine; drop table ${table.name}_notes`);
    expect(await retention.sweep(database, work)).toBe(true);
    expect(told).toHaveLength(5);
  });

  it("a role that does not own the table is told what its owner runs, and what --print-schema prints does that", async () => {
    const table = newTable();
    await using role = await createRole(server);
    await storeAt(await Store.open(database, table), monthsAgo(9));
    const script = schemaSql(table, "month", keep("3months", "30days"));
    await database.script(script);
    const comments = script.split("\n").filter((line) => line.startsWith("-- ")).map((line) => line.slice(3));
    const grants = comments.filter((line) => line.startsWith("grant ")).join("\n").replaceAll("ROLE", role.name);
    await database.script(grants);
    const { told, work } = listening();
    const retention = await retentionOf(role.database, table, wanted);
    expect(await retention.sweep(role.database, work)).toBe(false);
    const part = `public.${table.name}${monthEnding(monthsAgo(9))}`;
    expect(told).toEqual([
      [
        expect.stringMatching(
          `^${part} is too old, but cannot be dropped: .+; let its owner run: drop table ${part};$`,
        ),
        true,
      ],
    ]);
    const monthly = comments.slice(comments.indexOf("do $$"), comments.indexOf("$$;") + 1).join("\n");
    await database.script(
      `drop table public.${table.name}${monthEnding(spansFrom("month", Date.now(), 13).at(-1)?.from ?? 0)}`,
    );
    await database.script(monthly);
    expect(await endings(database, table)).toContain(monthEnding(monthsAgo(9)));
    await rollUpAll(await rollUpOf(database, table));
    for (let times = 0; times < 2; times++) await database.script(monthly);
    const year = spansFrom("month", Date.now(), 13).map(({ from }) => monthEnding(from));
    expect(await endings(database, table)).toEqual([monthEnding(monthsAgo(1)), ...year]);
    const store = await Store.open(role.database, table, { retention: keep("5years") });
    await storeAt(store, monthsAgo(9), Date.now());
    expect(store.counters).toMatchObject({ rows: 1, rejected: 1 });
    expect(await retention.sweep(role.database, work)).toBe(true);
  });

  it.each(["none", "month"] as const)(
    "nothing goes under a view, over a table with the parts %s, and it says so",
    async (partition) => {
      const [table, view] = [newTable(), newTable()];
      await storeAt(await Store.open(database, table, { partition }), monthsAgo(9));
      await database.script(`create view ${quoteTables(view).main} as select * from ${quoteTables(table).main}`);
      const { told, work } = listening();
      expect(await (await retentionOf(database, view, wanted)).sweep(database, work)).toBe(true);
      expect(told).toEqual([[expect.stringContaining(`under the view ${quoteTables(view).main} are not d`), true]]);
      expect(await countIn(database, quoteTables(table).main)).toBe(1);
    },
  );

  it("a role that may not delete its rows is told so, and its rejected messages go all the same", async () => {
    const table = newTable();
    const { main, rejected } = quoteTables(table);
    await using role = await createRole(server);
    await storeAt(await Store.open(database, table, { partition: "none" }), monthsAgo(9));
    await retentionOf(database, table, wanted);
    const granted = [
      ...grants(table, role.name, { rows: false, rejected: true, daily: false }, "none"),
      ...dayGrants(table, role.name),
    ];
    await database.script(`${granted.join(";")};
      insert into ${rejected} (topic, topic_id, partition, "offset", reason, rejected_at)
      values ('t', 't', 0, 0, 'old', now() - interval '9 days')`);
    const { told, work } = listening();
    const retention = await retentionOf(role.database, table, keep("3months", "1day", true));
    await expect(retention.sweep(role.database, work)).rejects.toThrow(`permission denied for table ${table.name}`);
    expect(told).toEqual([[`1 row of ${rejected} deleted: 1days are kept`, false]]);
    expect(await countIn(database, main)).toBe(1);
  });

  it("a role that lacks what it needs to keep note is told the statements", async () => {
    const table = newTable();
    await Store.open(database, table);
    await using role = await createRole(server);
    await database.script("revoke create on schema public from public");
    await expect(Store.open(role.database, table, { retention: wanted })).rejects.toThrow(
      new RegExp(
        `may not create what is missing [^]+create table if not exists "public"."${table.name}_keep" [^]+` +
          `grant select, insert, update on "public"."${table.name}_keep" to "${role.name}";\n$`,
      ),
    );
  });

  it.each(RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null))(
    "a consumer under %s that is killed while it makes a part, and one while it drops one, leave it whole or not at all",
    async (runtime) => {
      const { host, port, name, user } = server.settings;
      const table = newTable();
      const { main } = quoteTables(table);
      await storeAt(await Store.open(database, table), monthsAgo(9), monthsAgo(9));
      const parts = await endings(database, table);
      const env = {
        DB_HOST: host,
        DB_PORT: String(port),
        DB_NAME: name,
        DB_USER: user,
        DB_TABLE: `public.${table.name}`,
      };
      const at = new Date(monthsAgo(1)).toISOString();
      const line = `{"address":"a","status_code":200,"latency":1,"is_valid":true,"checked_at":"${at}",` +
        `"scheduled_at":"${at}","check_id":"${randomUUID()}"}\n`;
      const consume = (...args: string[]) => start(runtime, "consumer", ["--stdin", ...args], { env });
      const killHeld = async (consumer: ReturnType<typeof consume>) => {
        const pid = await untilHeld(database, () => consumer.stderr);
        consumer.kill("SIGKILL");
        await consumer.ended;
        await endBackend(database, pid);
      };

      await hold(database, "ddl_command_end", "when tag in ('ALTER TABLE')");
      await using maker = consume();
      maker.write(line);
      await killHeld(maker);
      await letGo(database);
      expect(await endings(database, table)).toEqual(parts);

      await hold(database, "sql_drop");
      const keeping = ["--db-keep", "3months", "--db-keep-now"];
      await using dropper = consume(...keeping);
      await killHeld(dropper);
      await letGo(database);
      expect(await endings(database, table)).toEqual(parts);
      expect(await countIn(database, main)).toBe(2);

      await using last = consume(...keeping);
      last.write(line);
      await last.says(/was dropped with its 2 rows: 3months are kept/);
      last.endInput();
      expect(await last.ended).toMatchObject({ code: 0 });
      expect(await endings(database, table)).toEqual([monthEnding(monthsAgo(1)), ...monthsAhead()]);
      expect(await countIn(database, main)).toBe(1);
    },
    60_000,
  );
});

describe.skipIf(ownPostgresMissing !== null)(`retention on a server that crashes ${ownPostgresMissing ?? ""}`, () => {
  it("a part whose drop is under way is whole after the crash, and goes then", async () => {
    await using crashing = await startPostgres({ own: true });
    const table = newTable();
    const wanted = keep("3months", "all", true);
    const { told, work } = listening();
    {
      await using database = openPostgres(crashing.settings);
      await using watching = openPostgres(crashing.settings);
      await storeAt(await Store.open(database, table), monthsAgo(9), monthsAgo(9));
      const retention = await retentionOf(database, table, wanted);
      await hold(watching, "sql_drop");
      const sweep = retention.sweep(database, work).then(() => null, (error: unknown) => error);
      await untilHeld(watching, () => "");
      await crashing.crash();
      expect(await sweep).toBeInstanceOf(Error);
    }
    await crashing.restart();
    await using database = openPostgres(crashing.settings);
    await letGo(database);
    expect(await countIn(database, quoteTables(table).main)).toBe(2);
    expect(await (await retentionOf(database, table, wanted)).sweep(database, work)).toBe(true);
    expect(told).toEqual([[expect.stringContaining("was dropped with its 2 rows"), false]]);
    expect(await endings(database, table)).toEqual(monthsAhead());
  });
});

/** Holds up whoever changes tables, in the middle of the transaction. */
async function hold(database: Database, event: string, condition = ""): Promise<void> {
  // The commit waits for the disk, and so for all that was written before.
  await database.script(`set local synchronous_commit = on;
    create function hold() returns event_trigger language plpgsql as $$ begin
      while exists (select from pg_event_trigger where evtname = 'hold') loop perform pg_sleep(0.01); end loop;
    end $$;
    create event trigger hold on ${event} ${condition} execute function hold()`);
}

async function letGo(database: Database): Promise<void> {
  await database.script("drop event trigger hold; drop function hold()");
}

/** The process of the server that is held up. */
async function untilHeld(database: Database, told: () => string): Promise<number> {
  let pid: number | undefined;
  await eventually(async () => {
    const [row] = await database.query<{ pid: number }>(
      `select pid from pg_stat_activity where wait_event = 'PgSleep' and pid <> pg_backend_pid()`,
    );
    pid = row?.pid;
    return pid !== undefined;
  }, () => `Nobody is held up:\n${told()}`);
  return pid as number;
}

async function endBackend(database: Database, pid: number): Promise<void> {
  await database.query("select pg_terminate_backend($1::text::int)", [String(pid)]);
  await eventually(
    async () => (await database.query(`select from pg_stat_activity where pid = ${pid}`)).length === 0,
    () => `The server's process ${pid} does not end`,
  );
}
