import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import { METRIC_FIELDS } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { RollUp } from "../../lib/postgres/roll_up.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import { prepareTables } from "../../lib/postgres/tables.ts";
import { viewQuery } from "../../lib/postgres/views.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { dayDifferences, rollUpAll } from "../support/days.ts";
import { CheckLog, checkOf, INCIDENT_RULES } from "../support/incidents.ts";

const kindsOf = databaseKinds(() => {});
/** A moment of the day before yesterday, and of the day after that. */
const at = (time: string, day = 2) => {
  return `${new Date(Date.now() - day * 86_400_000).toISOString().slice(0, 10)}T${time}:00.000Z`;
};

describe.each(kindsOf())("days in which somebody worked at a site, on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    async function world() {
      const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
      const store = await Store.open(database, table, { incidents: INCIDENT_RULES });
      const log = new CheckLog();
      await store.marks.claim(log.identity, new Map([[0, 0]]));
      const add = (time: string, isUp: boolean, day = 2) => {
        const due = at(time, day);
        const next_at = new Date(Date.parse(due) + 600_000).toISOString();
        log.add(checkOf(0, isUp, { scheduled_at: due, checked_at: due, next_at }));
      };
      for (const [time, isUp] of [["10:00", true], ["10:10", false], ["10:20", false], ["10:30", true]] as const) {
        add(time, isUp);
        add(time, isUp, 1);
      }
      await log.store(store, 0, log.entries.length);
      const tables = await prepareTables(database, table, undefined, undefined, true);
      const rollUp = new RollUp(database, tables, { rolledUp() {} }, undefined, { after: 0, again: 0 });
      const work = async (starts: string, ends: string, pattern = "https://a.*") => {
        await database.script(
          `insert into ${quoteTables(table).maintenance} values ('${pattern}', '${starts}', '${ends}', null)`,
        );
      };
      /** What is rolled up after each change, the newest day first. */
      const rolledUp = async () => {
        await rollUp.heedMaintenance();
        const days = await rollUpAll(rollUp);
        expect(await dayDifferences(database, quoteTables(table))).toEqual([]);
        return days;
      };
      const daily = async () => {
        const rows = await database.query<Record<string, number>>(
          `select checks, up, down, seconds_down::int as seconds, extract(epoch from longest_outage)::int as longest
           from ${quoteTables(table).daily} order by day`,
        );
        return rows.map((row) => Object.values(row).join(" "));
      };
      const uptime = async (from = `${table.name}_uptime`) => {
        const rows = await database.query<Record<string, number>>(
          `select checks::int as checks, up_percent::float8 as up_percent, seconds_down::int as seconds from ${from} v order by day`,
        );
        return rows.map((row) => Object.values(row).join(" "));
      };
      return { table, tables, work, rolledUp, daily, uptime, reader: store.reader(database) };
    }
    const days = [at("00:00", 1).slice(0, 10), at("00:00").slice(0, 10)];

    it("count no check as down that was not up in that time, and still count it as one", async () => {
      const { work, rolledUp, daily, uptime } = await world();
      await work(at("10:10"), at("10:20"));
      await work("-infinity", "infinity", "https://b.*");
      expect(await uptime()).toEqual(["4 66.667 600", "4 50 1200"]);
      expect(await rolledUp()).toEqual(days);
      expect(await daily()).toEqual(["4 2 1 600 600", "4 2 2 1200 1200"]);
      expect(await uptime()).toEqual(["4 66.667 600", "4 50 1200"]);
    });

    it("are rolled up again where the time is told, changed or taken back later, and no others are", async () => {
      const { table, work, rolledUp, daily } = await world();
      const { maintenance } = quoteTables(table);
      expect(await rolledUp()).toEqual(days);
      expect(await rolledUp()).toEqual([]);
      await work(at("10:00"), at("11:00"));
      expect(await rolledUp()).toEqual(days.slice(1));
      expect(await daily()).toEqual(["4 2 0 0 0", "4 2 2 1200 1200"]);
      await database.script(`update ${maintenance} set ends_at = '${at("10:20")}'`);
      expect(await rolledUp()).toEqual(days.slice(1));
      expect(await daily()).toEqual(["4 2 1 600 600", "4 2 2 1200 1200"]);
      await database.script(`delete from ${maintenance}`);
      expect(await rolledUp()).toEqual(days.slice(1));
      expect(await daily()).toEqual(["4 2 2 1200 1200", "4 2 2 1200 1200"]);
      await work(at("00:00", 9), at("00:00", 8));
      expect(await rolledUp()).toEqual([]);
    });

    it("are told alike by the page, and by a table without days", async () => {
      const { tables, work, rolledUp, uptime, reader } = await world();
      await work(at("10:10"), at("10:20"));
      const tally = async () =>
        (await reader.history(["https://a.example"])).days.map(({ checks, up }) => [checks, up]);
      const shown = [[3, 2], [4, 2]];
      expect((await tally()).toSorted()).toEqual(shown);
      await rolledUp();
      expect((await tally()).toSorted()).toEqual(shown);
      const plain = viewQuery(tables, "uptime", METRIC_FIELDS, { hasDays: false, hasMaintenance: true });
      const rows = `(select *, extract(epoch from longest_outage) as seconds_down from (${plain}) p)`;
      expect(await uptime(rows)).toEqual(["4 66.667 600", "4 50 1200"]);
    });
  });
});
