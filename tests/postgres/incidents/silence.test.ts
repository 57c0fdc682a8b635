import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TableName } from "../../../lib/config/setting_types.ts";
import type { Metric } from "../../../lib/metric.ts";
import type { Database } from "../../../lib/postgres/database.ts";
import { openPostgres } from "../../../lib/postgres/database/postgres.ts";
import { SilenceWatch } from "../../../lib/postgres/incidents/silence.ts";
import { quoteTables } from "../../../lib/postgres/schema.ts";
import { Store } from "../../../lib/postgres/store.ts";
import { prepareTables } from "../../../lib/postgres/tables.ts";
import { changing } from "../../support/databases.ts";
import { databaseKinds } from "../../support/database_kinds.ts";
import { eventually } from "../../support/eventually.ts";
import { CheckLog, checkOf, INCIDENT_RULES, incidentsOf } from "../../support/incidents.ts";
import { type TestPostgres } from "../../support/postgres.ts";

let server: TestPostgres;
const kindsOf = databaseKinds((started) => server = started);

const quiet = { quiet: () => Promise.resolve() };
const never = new AbortController().signal;
/** So many minutes from now. */
const from = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();

/** A check so many minutes from now, and when the next one is due. */
function check(address: string, due: number, next: number | null, fields: Partial<Metric> = {}): Partial<Metric> {
  const times = { scheduled_at: from(due), checked_at: from(due), next_at: next === null ? null : from(next) };
  return checkOf(0, true, { address, ...times, ...fields });
}

describe.each(kindsOf())("silence on $kind", ({ kind, missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  /** A table, and a way to store checks in it and to look. */
  async function world() {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const store = await Store.open(database, table, { incidents: INCIDENT_RULES });
    const log = new CheckLog();
    await store.marks.claim(log.identity, new Map([[0, 0]]));
    const tables = await prepareTables(database, table, "month", undefined, true);
    const watch = () => new SilenceWatch(database, tables, quiet, []);
    const changes: [opened: readonly string[], closed: readonly string[]][] = [];
    const work = {
      // A server has one more connection for it. An embedded database is one's own alone.
      open: () => kind === "PostgreSQL" ? openPostgres(server.settings) : changing(database, (text) => text),
      isCaughtUp: () => Promise.resolve(true),
      changed: (...change: [readonly string[], readonly string[]]) => void changes.push(change),
      failed: (why: string) => expect.unreachable(why),
    };
    return {
      table,
      store,
      watch,
      changes,
      work,
      async add(...checks: Partial<Metric>[]) {
        const start = log.entries.length;
        for (const each of checks) log.add(each);
        await log.store(store, start, log.entries.length);
      },
      silent: async () =>
        (await incidentsOf(database, table)).filter(({ closed_at }) => closed_at === null).map(({ address }) =>
          address
        ),
      maintain: async (row: string) =>
        await database.script(
          `insert into ${quoteTables(table).maintenance} (address, starts_at, ends_at) values ${row}`,
        ),
      script: async (text: (leases: string) => string) => await database.script(text(quoteTables(table).leases)),
    };
  }

  describe.skipIf(missing !== null)(missing ?? "", () => {
    it("is an incident of each address that is due and was not checked, once, until it is checked again", async () => {
      const { add, watch, work, changes, table } = await world();
      await add(
        check("late", -10, -5),
        check("due just now", -10, -1),
        check("in time", -1, 4),
        check("without a next time", -10, null),
        check("missed", -10, -5),
        check("missed", -5, 0, { error: "missed", up: null, is_valid: false }),
        check("removed", -10, -5),
        check("removed", -9, null, { error: "removed", up: null, is_valid: false }),
        check("of two places", -10, -5),
        check("of two places", -12, 30, { location: "Rome" }),
      );
      const first = watch();
      await first.look(work, never);
      await first.look(work, never);
      expect(changes).toEqual([[["late", "missed"], []]]);
      const again = check("late", 0, 5);
      await add(again);
      await first.look(work, never);
      expect(changes.slice(1)).toEqual([[[], ["late"]]]);
      const [late, missed] = await incidentsOf(database, table);
      expect(late).toMatchObject({ kind: "silence", closed_at: new Date(again.scheduled_at ?? ""), error: null });
      expect(missed).toMatchObject({ kind: "silence", closed_at: null, error_detail: "no check since it was due" });
      expect(late?.opened_at.getTime()).toBeLessThan(late?.confirmed_at.getTime() ?? 0);
    });

    it("is looked for by one consumer at a time, and by another one where that is dead", async () => {
      const { add, watch, work, changes, script } = await world();
      await add(check("a", -10, -5));
      const [first, second] = [watch(), watch()];
      await first.look(work, never);
      await add(check("b", -10, -5));
      await second.look(work, never);
      expect(changes).toEqual([[["a"], []]]);
      await script((leases) => `update ${leases} set held_until = now() - interval '1 second'`);
      await second.look(work, never);
      await first.look(work, never);
      expect(changes).toEqual([[["a"], []], [["b"], []]]);
    });

    it("is not looked for while a consumer is behind", async () => {
      const { add, watch, work, changes, script } = await world();
      await add(check("a", -10, -5));
      await watch().holdOff();
      const other = watch();
      await other.look(work, never);
      expect(changes).toEqual([]);
      await script((leases) => `update ${leases} set held_until = now() - interval '1 second' where what = 'behind'`);
      await other.look(work, never);
      expect(changes).toEqual([[["a"], []]]);
    });

    it("ends as an incident where the host leaves the hosts file", async () => {
      const { add, watch, work, silent } = await world();
      await add(check("a", -10, -5));
      const looker = watch();
      await looker.look(work, never);
      expect(await silent()).toEqual(["a"]);
      await add(check("a", 0, null, { error: "removed", up: null, is_valid: false }));
      await looker.look(work, never);
      expect(await silent()).toEqual([]);
    });

    it("is no incident of an address in maintenance, and ends none of it", async () => {
      const { add, watch, work, changes, maintain } = await world();
      await add(check("a", -10, -5), check("b", -10, -5));
      await maintain(`('a*', now() - interval '1 hour', now() + interval '1 hour')`);
      const looker = watch();
      await looker.look(work, never);
      expect(changes).toEqual([[["b"], []]]);
      await maintain(`('b', now() - interval '1 hour', 'infinity')`);
      await looker.look(work, never);
      expect(changes).toHaveLength(1);
    });

    it.runIf(kind === "PostgreSQL")("keeps no check from being stored, however long a look takes", async () => {
      const { add, watch, work, table } = await world();
      await add(check("a", -10, -5));
      const holder = await server.sql.reserve();
      let look: Promise<void>;
      try {
        await holder.unsafe(`begin; lock table ${quoteTables(table).incidents} in exclusive mode`);
        look = watch().look(work, never);
        await eventually(
          async () => (await holder`select from pg_locks where not granted`).length > 0,
          () => "the look does not wait",
        );
        await add(check("b", -1, 5));
      } finally {
        await holder.unsafe("rollback");
        holder.release();
      }
      await look;
    });

    it("is looked for beside the storing, until that ends", async () => {
      const { add, store, work, silent } = await world();
      await add(check("a", -10, -5));
      {
        await using _watch = store.watchSilence(work);
        await eventually(async () => (await silent()).includes("a"), () => "nobody has looked");
      }
    });
  });
});
