import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { addUp, dayOf, type HostReader, SHORT_SPAN, type Tally } from "../../lib/postgres/host_reader.ts";
import { Store } from "../../lib/postgres/store.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { skipped } from "../support/kafka.ts";
import { makePart } from "../support/parts.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";

// What the page asks of the database.

const MINUTE = 60_000;
let server: TestPostgres;
const kinds = databaseKinds((started) => server = started)()
  .filter(({ missing }) => missing === null || skipped(missing));

/** Rows of an address: minutes ago, and whether that was up, down or missed. */
function rows(address: string, checks: readonly (readonly [minutes: number, was: "up" | "down" | "missed"])[]) {
  return checks.map(([minutes, was]) => {
    const at = new Date(Date.now() - minutes * MINUTE).toISOString();
    const [status, error, detail] = was === "up"
      ? ["200", "null", "null"]
      : was === "down"
      ? ["null", "'dns'", "'no such name'"]
      : ["null", "'missed'", "'asleep'"];
    return `('${address.replaceAll("'", "''")}', ${status}, ${was === "missed" ? 0 : 0.25}, ${
      was === "up"
    }, '${at}', '${at}', ${error}, ${detail},
      0.125, gen_random_uuid(), 'here')`;
  });
}
const COLUMNS =
  "address, status_code, latency, is_valid, scheduled_at, checked_at, error, error_detail, latency_dns, " +
  "check_id, location";

describe.each(kinds)("on $kind", ({ open }) => {
  let database: Database;
  let reader: HostReader;
  beforeAll(async () => {
    database = await open();
    const table = { schema: null, name: "m" };
    const store = await Store.open(database, table);
    await makePart(database, table, Date.now() - 20 * MINUTE);
    reader = store.reader(database);
    const values = [
      ...rows("a", [[20, "up"], [15, "down"], [10, "down"], [5, "up"], [1, "missed"]]),
      ...rows("b", [[3, "down"]]),
      ...rows('it\'s "b"', [[2, "up"]]),
    ];
    await database.query(`insert into m (${COLUMNS}) values ${values.join(", ")}`);
    await database.query(`insert into m_days (day) select (now() at time zone 'UTC')::date on conflict do nothing`);
    await database.query(`insert into m_days (day) select (now() at time zone 'UTC')::date - 1 on conflict do nothing`);
    await database.query(
      `insert into m_days (day, stale, rolled_up_at) select (now() at time zone 'UTC')::date - 5, false, now()`,
    );
    await database.query(
      `insert into m_daily select 'a', place, (now() at time zone 'UTC')::date - 5, 10, 9, 1, 2, 0, 60,
      interval '1 minute', 0.1, 0.2, 0.3, 0.4, 1, '{1}', null from unnest(array['x', 'y']) place`,
    );
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  it("now has the newest check of each host, in the order of their addresses", async () => {
    expect(await reader.now()).toMatchObject([
      { address: "a", state: "up", reason: null, status_code: 200, latency: 0.25, location: "here" },
      { address: "b", state: "down", reason: "dns: no such name", status_code: null },
      { address: 'it\'s "b"', state: "up" },
    ]);
  });

  it("history has rolled up days of all places as one, and the other days from their rows", async () => {
    const { days, spans } = await reader.history(["a", 'it\'s "b"', "unknown"]);
    const old = dayOf(Date.now() - 5 * 24 * 60 * MINUTE);
    expect(days.filter(({ day }) => day === old)).toEqual([{ address: "a", day: old, checks: 20, up: 18, missed: 4 }]);
    const others = days.filter(({ day, address }) => day !== old && address === "a");
    const sum = (list: readonly Tally[]) => {
      const { checks, up, missed } = addUp(list);
      return [checks, up, missed];
    };
    expect(sum(others)).toEqual([4, 2, 1]);
    expect(sum(spans.filter(({ address }) => address === "a"))).toEqual([4, 2, 1]);
    for (const { from, latency } of spans) {
      expect(from.getTime() % (SHORT_SPAN * 1000)).toBe(0);
      if (latency !== null) expect(latency).toBe(0.25);
    }
  });

  it("checks has the newest rows first, and says why one was missed", async () => {
    expect(await reader.checks("a", 3)).toMatchObject([
      { up: null, reason: "missed: asleep", location: "here" },
      { up: true, reason: null },
      { up: false, reason: "dns: no such name" },
    ]);
  });

  it("phases has the averages of what answered, and null for what the rows do not tell", async () => {
    const spans = await reader.phases("a", SHORT_SPAN, 3600);
    expect(spans.map(({ checks }) => checks).reduce((sum, one) => sum + one)).toBe(4);
    expect(spans.some(({ dns, body }) => dns === 0.125 && body === 0)).toBe(true);
  });

  it("incidents has what lasts and what is over, of the hosts that are asked for", async () => {
    expect(await reader.incidents(["a", "b"], 1)).toMatchObject([
      { address: "b", closed_at: null, checks: 1, reason: "dns: no such name" },
      { address: "a", closed_at: expect.any(Date), checks: 2 },
    ]);
    expect(await reader.incidents([], 1)).toEqual([]);
    expect(await reader.troubled(7, 10)).toEqual(["a"]);
  });

  it("incidents are the rows of their table where there is one, open ones however old they are", async () => {
    const incidents = { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 };
    const table = { schema: null, name: "told" };
    const told = (await Store.open(database, table, { incidents })).reader(database);
    const row = (kind: string, address: string, opened: number, closed: number | null, rest: string) =>
      `(gen_random_uuid(), '${kind}', '${address}', now() - ${opened} * interval '1 hour', now(),
        ${closed === null ? "null" : `now() - ${closed} * interval '1 hour'`}, ${rest})`;
    await database.query(`insert into told_incidents
      (id, kind, address, opened_at, confirmed_at, closed_at, locations, error, error_detail, status_code, checks) values ${
      [
        row("down", "a", 999, null, `'{Oslo,Rome}', null, null, 503, 7`),
        row("certificate", "a", 5, 4, `'{}', null, 'the certificate expires at noon', null, 1`),
        row("down", "b", 3, 2, `'{}', 'dns', 'no such name', null, 2`),
        row("down", "b", 999, 998, `'{}', null, null, null, 2`),
        row("silence", "c", 1, null, `'{}', null, 'no check since it was due', null, 0`),
      ].join(", ")
    }`);
    expect((await told.incidents(["a", "b"], 1)).map(({ kind, address, reason, locations, checks, closed_at }) => {
      return [kind, address, reason, locations, checks, closed_at === null];
    })).toEqual([
      ["down", "b", "dns: no such name", [], 2, false],
      ["certificate", "a", "the certificate expires at noon", [], 1, false],
      ["down", "a", "status 503", ["Oslo", "Rome"], 7, true],
    ]);
    expect(await told.troubled(1, 10)).toEqual(["a", "c", "b"]);
    expect(await told.troubled(1, 1)).toEqual(["a"]);
  });

  it("a table of one's own that lacks most columns can be shown too", async () => {
    await database.script(
      "create table mine (address text, status_code int, latency float8, is_valid bool, checked_at timestamptz)",
    );
    const mine = (await Store.open(database, { schema: null, name: "mine" })).reader(database);
    await database.query("insert into mine values ('a', 200, 0.5, true, now()), ('b', 500, 0.5, true, now())");
    expect(await mine.now()).toMatchObject([{ address: "a", state: "up" }, {
      address: "b",
      state: "down",
      next_at: null,
    }]);
    const { days, spans } = await mine.history(["a", "b"]);
    expect(days.map(({ address, checks, up }) => [address, checks, up])).toEqual([["a", 1, 1], ["b", 1, 0]]);
    expect(spans.length).toBe(2);
    expect(await mine.checks("b", 5)).toMatchObject([{ up: false, reason: "status 500" }]);
    expect(await mine.phases("a", SHORT_SPAN, 3600)).toMatchObject([{ checks: 1, dns: null, latency: 0.5 }]);
    expect(await mine.incidents(["b"], 1)).toMatchObject([{ reason: "status 500", closed_at: null }]);
  });
});

it.runIf(postgresMissing === null)("a reader's connection writes nothing", async () => {
  const limits = { answer: 5000, connect: 5000, statement: 5000, lock: 1000, isReadOnly: true };
  await using reader = openPostgres(server.settings, limits);
  await expect(reader.query("create table never (n int)")).rejects.toThrow("read-only transaction");
});
