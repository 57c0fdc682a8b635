import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { TableName } from "../../../lib/config/setting_types.ts";
import type { Metric } from "../../../lib/metric.ts";
import type { Database } from "../../../lib/postgres/database.ts";
import { Maintenance } from "../../../lib/postgres/incidents/maintenance.ts";
import { inMaintenanceSql } from "../../../lib/postgres/maintenance_sql.ts";
import { arrayText } from "../../../lib/postgres/pg_text.ts";
import { quoteTables } from "../../../lib/postgres/schema.ts";
import { Store } from "../../../lib/postgres/store.ts";
import { databaseKinds } from "../../support/database_kinds.ts";
import { at, CheckLog, checkOf, INCIDENT_RULES, told } from "../../support/incidents.ts";
import { Random } from "../../support/random.ts";

const kindsOf = databaseKinds(() => {});

/** So many minutes from now. */
const from = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();

describe.each(kindsOf())("maintenance on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    /** A table with these rows of maintenance. */
    async function world(...rows: readonly (readonly [pattern: string, starts: string, ends: string])[]) {
      const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
      const opened = async () => {
        const store = await Store.open(database, table, { incidents: INCIDENT_RULES });
        await store.marks.claim(log.identity, new Map([[0, 0]]));
        return store;
      };
      const log = new CheckLog();
      await opened();
      const { maintenance } = quoteTables(table);
      const columns = [0, 1, 2].map((i) => arrayText(rows.map((row) => row[i] as string)));
      await database.query(
        `insert into ${maintenance} (address, starts_at, ends_at, note)
         select *, 'new disks' from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])`,
        columns,
      );
      return { table, log, opened };
    }

    it("says the same in SQL and in TypeScript, for any pattern, address and time", async () => {
      const random = new Random(Number(process.env.SEED ?? Date.now() % 2 ** 31));
      const text = (letters: string) =>
        Array.from({ length: random.between(0, 6) }, () => random.pick([...letters])).join("");
      const times = ["-infinity", ...Array.from({ length: 5 }, (_, i) => at(i)), "infinity"];
      const row = () => [text("ab%_\\*?*."), random.pick(times), random.pick(times)] as const;
      // The first one has something to say in any case.
      const { table } = await world(["a*", at(1), at(3)], ...Array.from({ length: 12 }, row));
      const windows = await new Maintenance(database, quoteTables(table)).windows();
      const questions = Array.from({ length: 2000 }, () => [text("ab%_\\*?."), at(random.between(0, 4))] as const);
      const rows = await database.query<{ address: string; due: string; found: boolean }>(
        `select a.address, a.due, ${inMaintenanceSql(quoteTables(table), "a.address", "a.due::timestamptz")} as found
         from unnest($1::text[], $2::text[]) a(address, due)`,
        [arrayText(questions.map(([address]) => address)), arrayText(questions.map(([, due]) => due))],
      );
      expect(rows).toHaveLength(2000);
      const wrong = rows.filter(({ address, due, found }) => windows.has(address, Date.parse(due)) !== found);
      expect(wrong).toEqual([]);
      expect(rows.some(({ found }) => found)).toBe(true);
    });

    it("keeps checks that are not up out of incidents, over a restart too", async () => {
      const { table, log, opened } = await world(["https://a.*", at(2), at(6)]);
      log.write("uuddddddu");
      for (let i = 0; i < 9; i++) await log.store(await opened(), i, i + 1);
      expect(await told(database, table)).toEqual(["6 7 8 (2)"]);
    });

    it("is honoured by a consumer that runs, some seconds after it was written", async () => {
      const { table, log, opened } = await world();
      const store = await opened();
      log.write("uuddudd");
      vi.useFakeTimers({ toFake: ["performance"] });
      try {
        await log.store(store, 0, 2);
        await database.query(
          `insert into ${quoteTables(table).maintenance} values ('*', '${at(2)}', '${at(4)}', null)`,
        );
        vi.advanceTimersByTime(15_000);
        await log.store(store, 2, 7);
      } finally {
        vi.useRealTimers();
      }
      expect(await told(database, table)).toEqual(["5 6  (2)"]);
    });

    it("of several times at once …_now tells the one that ends last, and takes patterns as they are written", async () => {
      const { table, log, opened } = await world(
        ["a.*", from(-30), from(20)],
        ["*", from(-10), from(10)],
        ["a.b?", from(-5), from(40)],
        ["*", from(30), from(90)],
        ["_.b%", from(-5), from(80)],
      );
      for (const address of ["a.b%", "a.bcd", "_.b%", "x.b", "a\\b"]) {
        log.add(checkOf(0, false, { address, scheduled_at: from(-1), checked_at: from(-1), next_at: from(5) }));
      }
      await log.store(await opened(), 0, 5);
      const rows = await database.query<{ address: string; minutes: number }>(
        `select address, ceil(extract(epoch from maintenance_until - now()) / 60)::int as minutes
         from ${table.name}_now where state = 'maintenance'`,
      );
      expect(Object.fromEntries(rows.map(({ address, minutes }) => [address, minutes]))).toEqual({
        "a.b%": 40,
        "a.bcd": 20,
        "_.b%": 80,
        "x.b": 10,
        "a\\b": 10,
      });
    });

    it("is a state of hosts that are not up, until it ends, and no outage", async () => {
      const { table, log, opened } = await world(["*.example", from(-30), from(30)], ["over", from(-30), from(-1)]);
      const check = (address: string, due: number, isUp: boolean, next = due + 5): Partial<Metric> =>
        checkOf(0, isUp, { address, scheduled_at: from(due), checked_at: from(due), next_at: from(next) });
      log.add(check("up.example", -1, true));
      log.add(check("down.example", -1, false));
      log.add(check("stale.example", -20, true));
      log.add(check("over", -20, false));
      log.add(check("over", 0, false));
      await log.store(await opened(), 0, 5);
      const rows = await database.query(
        `select address, state, maintenance_note, maintenance_until > now() as lasts from ${table.name}_now order by address`,
      );
      const note = { maintenance_note: "new disks", lasts: true };
      expect(rows).toEqual([
        { address: "down.example", state: "maintenance", ...note },
        { address: "over", state: "down", maintenance_note: null, lasts: null },
        { address: "stale.example", state: "maintenance", ...note },
        { address: "up.example", state: "up", ...note },
      ]);
      const outages = await database.query(`select address, checks::int as checks from ${table.name}_outages`);
      expect(outages).toEqual([{ address: "over", checks: 1 }]);
      const hosts = await (await opened()).reader(database).now();
      expect(hosts[0]).toMatchObject({
        state: "maintenance",
        reason: 'connect: refused "at" 0',
        maintenance_note: "new disks",
      });
      expect(hosts[0]?.maintenance_until).toBeInstanceOf(Date);
    });
  });
});
