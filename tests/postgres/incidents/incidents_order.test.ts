import { describe, expect, it } from "vitest";
import type { Database, Parameter } from "../../../lib/postgres/database.ts";
import { Store } from "../../../lib/postgres/store.ts";
import { changing } from "../../support/databases.ts";
import { serverForTests } from "../../support/database_kinds.ts";
import { eventually } from "../../support/eventually.ts";
import { CheckLog, INCIDENT_RULES, incidentsOf, minuteOf } from "../../support/incidents.ts";
import { postgresMissing, type TestPostgres } from "../../support/postgres.ts";

describe.skipIf(postgresMissing !== null)("incidents", () => {
  let server: TestPostgres;
  let database: Database;
  serverForTests((...started) => [server, database] = started);

  it("a statement that waited for the one before it, over another connection, ends what that one began", async () => {
    const table = { schema: null, name: "waited" };
    const log = new CheckLog();
    log.write("ddu");
    let isFirst = false;
    const stored = Promise.withResolvers<void>();
    const way: Database = {
      ...changing(database, (text) => text),
      query: async <R extends object>(text: string, parameters: readonly Parameter[] = []) => {
        if (!text.startsWith("with writer")) return await database.query<R>(text, parameters);
        if (!isFirst) {
          await stored.promise;
          return await database.query<R>(text, parameters);
        }
        isFirst = false;
        return await untilWaitedFor<R>(text, parameters);
      },
    };
    /** Runs the first statement, and commits it once the one behind it waits. */
    async function untilWaitedFor<R>(text: string, parameters: readonly Parameter[]): Promise<R[]> {
      return await server.sql.begin(async (own) => {
        const rows = await own.unsafe(text, [...parameters]);
        stored.resolve();
        const waiting = () =>
          server.sql`select pid from pg_stat_activity where wait_event_type = 'Lock' and query like 'with writer%'`;
        await eventually(async () => (await waiting()).length > 0, () => "No statement waits for the first one");
        return [...rows] as R[];
      }) as R[];
    }
    const store = await Store.open(way, table, { incidents: INCIDENT_RULES });
    await store.marks.claim(log.identity, new Map([[0, 0]]));
    isFirst = true;
    const first = log.store(store, 0, 2);
    const ranges = new Map([[0, { start: 2, next: 3 }]]);
    const isStored = await store.flushEarly(log.identity, ranges, [store.encode(log.entries.slice(2))]);
    await first;
    if (!isStored) await log.store(store, 2, 3);
    const times = (await incidentsOf(database, table)).map(({ opened_at, confirmed_at, closed_at }) => {
      return [opened_at, confirmed_at, closed_at].map((time) => time === null ? null : minuteOf(time));
    });
    expect(times).toEqual([[0, 1, 2]]);
  });
});
