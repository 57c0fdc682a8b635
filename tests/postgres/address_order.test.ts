import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { METRIC_FIELDS } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { creation, quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import { addPartSql } from "../../lib/postgres/parts.ts";
import { PARTS_AHEAD, spansFrom } from "../../lib/postgres/part_spans.ts";
import { VIEWS, viewSql, WITH_COMPANIONS } from "../../lib/postgres/views.ts";
import { rollUpAll, rollUpOf } from "../support/days.ts";
import { metricWith } from "../support/metrics.ts";
import { makePart } from "../support/parts.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";

// In a database that sorts texts by the rules of a language, as most do.

const DAY = 86_400_000;
/** In the order of their bytes, which is none of a language. */
const ADDRESSES = [
  "https://B.test",
  "https://a-b.test",
  "https://aB.test",
  "https://a_a.test",
  "https://ab.test",
  "https://b.test",
];
const RULES = { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 };
const BYTES = '"C"';
const OF_DATABASE = { main: '"default"', daily: '"default"', incidents: '"default"' };

describe.skipIf(postgresMissing !== null)("a database that sorts by a language", () => {
  let server: TestPostgres;
  let database: Database;
  beforeAll(async () => {
    server = await startPostgres();
    const name = `language_${randomUUID().slice(0, 8)}`;
    await server.sql.unsafe(`create database ${name} template template0 locale_provider icu icu_locale 'en-US'`);
    database = openPostgres({ ...server.settings, name });
  });
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** The order of addresses in the tables that have any. */
  async function ordersOf(table: string): Promise<Record<string, string>> {
    const { main, daily, incidents } = quoteTables({ schema: null, name: table });
    const rows = await database.query<{ name: string; order: string }>(
      `select r.name, a.attcollation::regcollation::text as order from unnest(array['main', 'daily', 'incidents'], $1::text[]) r(name, it)
       join pg_attribute a on a.attrelid = to_regclass(r.it) and a.attname = 'address'`,
      [`{${[main, daily, incidents].map((name) => JSON.stringify(name)).join(",")}}`],
    );
    return Object.fromEntries(rows.map(({ name, order }) => [name, order]));
  }

  /** Half of the addresses have their last check days ago, in a day that is rolled up. */
  async function fill(store: Store, name: string): Promise<void> {
    const table = { schema: null, name };
    const [now, before] = [Date.now(), Date.now() - 5 * DAY];
    await makePart(database, table, before);
    const source = { topic: "t", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    const entries = ADDRESSES.map((address, offset) => {
      const time = new Date(offset % 2 === 0 ? now : before).toISOString();
      const content = metricWith({ address, scheduled_at: time, checked_at: time, check_id: randomUUID() });
      return { partition: 0, offset, key: null, value: null, content };
    });
    expect(await store.flush(source, new Map([[0, { start: 0, next: entries.length }]]), entries)).toBe("stored");
    await rollUpAll(await rollUpOf(database, table));
  }

  async function shown(store: Store, name: string) {
    const view = await database.query<{ address: string }>(`select address from ${name}_now`);
    const days = await database.query<{ address: string }>(`select address from ${name}_uptime`);
    return {
      now: view.map(({ address }) => address).toSorted(),
      uptime: days.map(({ address }) => address).toSorted(),
      page: (await store.reader(database).now()).map(({ address }) => address),
    };
  }

  it("a new table has the order of bytes, in which its index finds an address", async () => {
    const store = await Store.open(database, { schema: null, name: "made" }, { incidents: RULES });
    expect(await ordersOf("made")).toEqual({ main: BYTES, daily: BYTES, incidents: BYTES });
    await fill(store, "made");
    expect(await shown(store, "made")).toEqual({ now: ADDRESSES, uptime: ADDRESSES, page: ADDRESSES });
    await database.query("create table sites (address text)");
    await database.query("set enable_seqscan = off");
    const newest = "from made m where m.address = s.address order by m.scheduled_at desc limit 1";
    for (
      const question of [
        "select * from made where address = 'https://ab.test' order by scheduled_at desc",
        `select * from sites s cross join lateral (select * ${newest}) n`,
      ]
    ) {
      const plan = JSON.stringify(await database.query<object>(`explain ${question}`));
      expect(plan).toMatch(/Index Cond: \(+(m_\d+\.)?address = /);
    }
    await database.query("reset enable_seqscan");
  });

  it("what is made beside a table of before has the order of the database, as that has", async () => {
    const table = { schema: null, name: "older" };
    const { main, maintenance } = creation(table, "month");
    const parts = spansFrom("month", Date.now(), PARTS_AHEAD).map((span) => addPartSql(table, "month", span));
    const views = VIEWS.map((view) => viewSql(table, view, METRIC_FIELDS, WITH_COMPANIONS));
    const statements = [...main, ...parts, ...maintenance, ...views];
    await database.script(statements.join(";\n").replaceAll(' collate "C"', ""));
    const store = await Store.open(database, table, { incidents: RULES });
    expect(await ordersOf("older")).toEqual(OF_DATABASE);
    await fill(store, "older");
    expect(await shown(store, "older")).toEqual({ now: ADDRESSES, uptime: ADDRESSES, page: ADDRESSES });
    // By hand the same statements come again.
    await database.script(creation(table, "month").main.join(";\n"));
    expect(await ordersOf("older")).toEqual(OF_DATABASE);

    await database.script("alter table older rename to away; drop view older_now, older_uptime, older_outages");
    await Store.open(database, table, { incidents: RULES });
    expect(await ordersOf("older")).toEqual(OF_DATABASE);
    await database.script("drop table older_daily cascade");
    await database.script(creation(table, "month").main.join(";\n"));
    expect(await ordersOf("older")).toEqual(OF_DATABASE);
  });
});
