import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import type { TableName } from "../../../lib/config/setting_types.ts";
import type { Database } from "../../../lib/postgres/database.ts";
import { quoteTables } from "../../../lib/postgres/schema.ts";
import { type IncidentChange, Store } from "../../../lib/postgres/store.ts";
import { databaseKinds } from "../../support/database_kinds.ts";
import { recording } from "../../support/databases.ts";
import { at, CheckLog, checkOf, INCIDENT_RULES, incidentsOf, minuteOf, told } from "../../support/incidents.ts";

const kindsOf = databaseKinds(() => {});

const newTable = (): TableName => ({ schema: null, name: `m_${randomUUID().slice(0, 8)}` });

describe.each(kindsOf())("incidents on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    async function opened(
      table: TableName,
      log: CheckLog,
      start = 0,
      rules: Partial<IncidentSettings> = {},
    ): Promise<Store> {
      const store = await Store.open(database, table, { incidents: { ...INCIDENT_RULES, ...rules } });
      await store.marks.claim(log.identity, new Map([[0, start]]));
      return store;
    }

    it("stand in the table with the check that caused them, and end with the first that is up", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const store = await opened(table, log);
      log.write("uddduu");
      await log.store(store, 0, 3);
      const open = {
        kind: "down",
        address: "https://a.example",
        opened_at: new Date(at(1)),
        confirmed_at: new Date(at(2)),
        closed_at: null,
        locations: '["Oslo"]',
        error: "connect",
        error_detail: 'refused "at" 1',
        status_code: null,
        checks: 2,
      };
      expect(await incidentsOf(database, table)).toEqual([open]);
      await log.store(store, 3, 6);
      expect(await incidentsOf(database, table)).toEqual([{ ...open, closed_at: new Date(at(4)), checks: 3 }]);
    });

    it("are one row each where they begin and end in one statement", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const store = await opened(table, log);
      log.write("dduuddduudd");
      await log.store(store, 0, 11);
      expect(await told(database, table)).toEqual(["0 1 2 (2)", "4 5 7 (3)", "9 10  (2)"]);
      log.write("uddu");
      await log.store(store, 11, 15);
      expect(await told(database, table)).toEqual(["0 1 2 (2)", "4 5 7 (3)", "9 10 11 (2)", "12 13 14 (2)"]);
    });

    it("are two where places check at one time, and it begins anew at that time", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const store = await opened(table, log, 0, { downAfter: 1, places: "majority" });
      for (const location of ["Oslo", "Rome", "Bonn"]) log.add(checkOf(0, location === "Rome", { location }));
      await log.store(store, 0, 3);
      expect(await told(database, table)).toEqual(expect.arrayContaining(["0 0 0 (1)", "0 0  (2)"]));
      expect(await incidentsOf(database, table)).toHaveLength(2);
    });

    it("are written once where the answer was lost and the statement is sent again", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const store = await opened(table, log);
      log.write("udduud");
      await log.store(store, 0, 2);
      await log.store(store, 2, 3);
      await log.store(store, 2, 3);
      await log.store(store, 3, 4);
      await log.store(store, 3, 4);
      await log.store(store, 4, 6);
      expect(await told(database, table)).toEqual(["1 2 3 (2)"]);
    });

    it("go on over a restart in the middle of a streak and in the middle of an outage", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      log.write("uuddddduu");
      for (let i = 0; i < 9; i++) await log.store(await opened(table, log), i, i + 1);
      expect(await told(database, table)).toEqual(["2 3 7 (5)"]);
    });

    it("are found again after a restart though the outage has had more checks than are read then", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      log.write(`u${"d".repeat(600)}uu`);
      await log.store(await opened(table, log), 0, 500);
      await log.store(await opened(table, log), 500, 590);
      await log.store(await opened(table, log), 590, 603);
      expect(await told(database, table)).toEqual(["1 2 601 (600)"]);
    });

    it("are known over a restart where no index finds an address, but a streak begins anew", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      await opened(table, log);
      await database.script(`drop index ${table.name}_newest`);
      log.write("udddduu");
      for (const [start, next] of [[0, 2], [2, 4], [4, 5], [5, 7]] as const) {
        await log.store(await opened(table, log), start, next);
      }
      expect(await told(database, table)).toEqual(["2 3 5 (2)"]);
    });

    it("do not count a check that the database refuses, nor one that is no metric", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const store = await opened(table, log);
      const { main } = quoteTables(table);
      await database.script(`alter table ${main} add constraint no_poison check (producer is distinct from 'poison')`);
      log.write("ud");
      log.add(checkOf(2, false, { producer: "poison" }));
      log.add("no metric");
      log.write("udd", 4);
      await log.store(store, 0, 7);
      expect(await told(database, table)).toEqual(["5 6  (2)"]);
      expect(store.counters.rejected).toBe(2);
    });

    it("stand on the rows that another consumer has stored, though these are not what was planned on", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const [first, second] = [await opened(table, log), await opened(table, log)];
      const { main } = quoteTables(table);
      log.write("ud");
      log.add(checkOf(2, false, { producer: "poison" }));
      log.write("ddu", 3);
      await database.script(`alter table ${main} add constraint no_poison check (producer is distinct from 'poison')`);
      await log.store(second, 0, 3);
      await database.script(`alter table ${main} drop constraint no_poison`);
      const range = (start: number, next: number) =>
        [log.identity, new Map([[0, { start, next }]]), [first.encode(log.entries.slice(start, next))]] as const;
      // The first consumer takes the refused check for one that was stored.
      const stored = first.flushEncoded(...range(0, 3));
      const early = first.flushEarly(...range(3, 4));
      expect([await stored, await early]).toEqual(["stored", false]);
      await log.store(first, 3, 6);
      expect(await told(database, table)).toEqual(["1 3 5 (3)"]);
      expect(first.counters).toMatchObject({ rows: 3, rejected: 0 });
    });

    it("stand on what another consumer has stored, though this one has known the address in another partition", async () => {
      const [table, old, log] = [newTable(), new CheckLog(), new CheckLog()];
      const [first, second] = [await opened(table, old), await opened(table, log)];
      old.write("uu");
      await old.store(first, 0, 2);
      // The topic was made again.
      log.write("ddu", 2);
      await log.store(second, 0, 2);
      await first.marks.claim(log.identity, new Map([[0, 0]]));
      await log.store(first, 2, 3);
      expect(await told(database, table)).toEqual(["2 3 4 (2)"]);
    });

    it("are told of a batch that is sent early, behind one that is stored as planned", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const changes: IncidentChange[] = [];
      const events = {
        ...{ rejected: () => {}, ended: () => {}, grown: () => {}, parts: () => {}, rolledUp: () => {} },
        incidents: (found: readonly IncidentChange[]) => void changes.push(...found),
      };
      const store = await Store.open(database, table, { incidents: INCIDENT_RULES, events });
      await store.marks.claim(log.identity, new Map([[0, 0]]));
      log.write("udduu");
      const range = (start: number, next: number) =>
        [log.identity, new Map([[0, { start, next }]]), [store.encode(log.entries.slice(start, next))]] as const;
      const flushes = [store.flushEncoded(...range(0, 2)), store.flushEarly(...range(2, 5))];
      expect(await Promise.all(flushes)).toEqual(["stored", true]);
      expect(await told(database, table)).toEqual(["1 2 3 (2)"]);
      expect(changes.map(({ what, offset }) => [what, offset])).toEqual([["opening", 2], ["closing", 3]]);
    });

    it("do not end by checks out of a spool, which come late", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const store = await opened(table, log);
      log.write("dd", 100);
      log.write("uuudduuu", 50);
      await log.store(store, 0, 10);
      expect(await told(database, table)).toEqual(["100 101  (2)"]);
      log.write("uuu", 60);
      await log.store(await opened(table, log), 10, 13);
      expect(await told(database, table)).toEqual(["100 101  (2)"]);
    });

    it("need several places to agree, and find those again after a restart that are seldom checked from", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      log.add(checkOf(0, true, { location: "Rome", next_at: at(200) }));
      log.write("u".repeat(90) + "ddd", 1);
      await log.store(await opened(table, log, 0, { places: 2 }), 0, 50);
      await log.store(await opened(table, log, 0, { places: 2 }), 50, 94);
      expect(await told(database, table)).toEqual([]);
      log.add(checkOf(94, false, { location: "Rome", next_at: at(400) }));
      log.add(checkOf(95, false, { location: "Rome", next_at: at(400) }));
      await log.store(await opened(table, log, 0, { places: 2 }), 94, 96);
      expect((await incidentsOf(database, table)).map(({ locations, error_detail }) => [locations, error_detail]))
        .toEqual([
          ['["Oslo","Rome"]', 'refused "at" 91'],
        ]);
    });

    it("tell of a certificate once, over a restart too", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const day = 1440;
      [25, 20, 20, 20, 90].forEach((days, i) => log.add(checkOf(i, true, { tls_expires_at: at(days * day) })));
      for (let i = 0; i < 5; i++) await log.store(await opened(table, log), i, i + 1);
      expect((await incidentsOf(database, table)).map(({ kind, confirmed_at, closed_at }) => {
        return [kind, minuteOf(confirmed_at), closed_at && minuteOf(closed_at)];
      })).toEqual([["certificate", 1, 4]]);
    });

    it("cost one question for all addresses that come by first, and none after that", async () => {
      const [table, log] = [newTable(), new CheckLog()];
      const { database: recorded, statements } = recording(database);
      const store = await Store.open(recorded, table, { incidents: INCIDENT_RULES });
      await store.marks.claim(log.identity, new Map([[0, 0]]));
      for (let i = 0; i < 20; i++) log.add(checkOf(0, true, { address: `https://${i}.example` }));
      for (let i = 0; i < 20; i++) log.add(checkOf(1, true, { address: `https://${i}.example` }));
      statements.length = 0;
      await log.store(store, 0, 20);
      expect(statements.filter((text) => text.includes("json_agg"))).toHaveLength(1);
      statements.length = 0;
      await log.store(store, 20, 40);
      expect(statements).toHaveLength(1);
      expect(statements[0]).not.toContain("_incidents");
    });
  });
});
