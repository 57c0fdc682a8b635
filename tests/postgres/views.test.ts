import { describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import { type Metric, METRIC_FIELDS } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { spanOf } from "../../lib/postgres/part_spans.ts";
import { newPartSql } from "../../lib/postgres/parts.ts";
import { Store } from "../../lib/postgres/store.ts";
import { madeSql, reasonDown, reasonSql, stateOf, upSql } from "../../lib/postgres/host_state.ts";
import { viewName, VIEWS, viewSql } from "../../lib/postgres/views.ts";
import { serverForTests } from "../support/database_kinds.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";

const ALL = { error: true, error_detail: true, up: true };
const at = (time: string) => `2026-01-31T${time}:00.000Z`;
const checkAt = (time: string, fields: Partial<Metric> = {}): Metric =>
  metricWith({ scheduled_at: at(time), checked_at: at(time), ...fields });
const down = {
  error: "timeout",
  error_detail: "no answer within 10 s",
  status_code: null,
  is_valid: false,
  latency: 10,
};

describe.skipIf(postgresMissing !== null)(`views ${postgresMissing ?? ""}`, () => {
  let server: TestPostgres;
  let database: Database;
  let count = 0;
  serverForTests((...started) => [server, database] = started);

  /** Stores metrics in a new table, through the store. */
  async function fill(metrics: readonly Metric[]): Promise<TableName> {
    const table = { schema: null, name: `v${++count}` };
    const store = await Store.open(database, table);
    const source = { topic: "t", topicId: String(count) };
    await store.marks.claim(source, new Map([[0, 0]]));
    const entries = metrics.map((content, offset) => ({ partition: 0, offset, key: null, value: null, content }));
    await store.flush(source, new Map([[0, { start: 0, next: metrics.length }]]), entries);
    return table;
  }
  const ask = (text: string) => server.sql.unsafe(text);

  it("…_now has the latest check of each address that was made, and the days that its certificate is good for", async () => {
    const inTenDays = new Date(Date.now() + 10 * 86_400_000).toISOString();
    const table = await fill([
      checkAt("10:00"),
      checkAt("10:10", { ...down, tls_expires_at: inTenDays }),
      checkAt("10:20", { error: "missed", status_code: null, is_valid: false }),
      checkAt("09:00", { address: "https://b.example", tls_expires_at: inTenDays }),
      checkAt("08:00", { address: "https://b.example", status_code: 500 }),
    ]);
    const rows = await ask(
      `select address, up, status_code, checked_at, error, certificate_days_left, reason from ${
        viewName(table, "now")
      } order by address`,
    );
    expect([...rows]).toEqual([
      {
        address: "https://a.example",
        up: false,
        status_code: null,
        checked_at: new Date(at("10:10")),
        error: "timeout",
        certificate_days_left: 10,
        reason: "timeout: no answer within 10 s",
      },
      {
        address: "https://b.example",
        up: true,
        status_code: 200,
        checked_at: new Date(at("09:00")),
        error: null,
        certificate_days_left: 10,
        reason: null,
      },
    ]);
  });

  it("…_outages has each outage from its first failure to the recovery, and one that goes on without an end", async () => {
    const table = await fill([
      checkAt("10:00"),
      checkAt("10:10", down),
      checkAt("10:15", { error: "missed", status_code: null, is_valid: false }),
      checkAt("10:20", { status_code: 503 }),
      checkAt("10:30"),
      checkAt("10:40", { is_valid: false }),
    ]);
    const rows = await ask(`select * from ${viewName(table, "outages")} order by started_at`);
    expect(rows.map(({ started_at, ended_at, checks, error, error_detail, reason }) => {
      return { started_at, ended_at, checks: Number(checks), error, error_detail, reason };
    })).toEqual([
      {
        started_at: new Date(at("10:10")),
        ended_at: new Date(at("10:30")),
        checks: 2,
        error: "timeout",
        error_detail: "no answer within 10 s",
        reason: "timeout: no answer within 10 s",
      },
      {
        started_at: new Date(at("10:40")),
        ended_at: null,
        checks: 1,
        error: null,
        error_detail: null,
        reason: "the page does not match",
      },
    ]);
    const [first] = await ask(`select duration::text from ${viewName(table, "outages")} order by started_at limit 1`);
    expect(first?.duration).toBe("00:20:00");
  });

  it("…_uptime has each address and day: share, percentiles of what answered, and the longest outage", async () => {
    const table = await fill([
      checkAt("10:00", { latency: 1 }),
      checkAt("10:10", down),
      checkAt("10:20", { latency: 3 }),
      checkAt("10:30", down),
      checkAt("10:40", down),
      checkAt("11:00", { latency: 2 }),
      checkAt("11:10", { error: "missed", status_code: null, is_valid: false }),
      metricWith({ scheduled_at: "2026-02-01T00:00:00.000Z", checked_at: "2026-02-01T00:00:00.000Z", latency: 5 }),
    ]);
    const rows = await ask(
      `select day::text, checks::int, up_percent::float8, latency_p50, latency_p99, longest_outage::text
       from ${viewName(table, "uptime")} order by day`,
    );
    expect([...rows]).toEqual([
      { day: "2026-01-31", checks: 6, up_percent: 50, latency_p50: 2, latency_p99: 2.98, longest_outage: "00:30:00" },
      { day: "2026-02-01", checks: 1, up_percent: 100, latency_p50: 5, latency_p99: 5, longest_outage: "00:00:00" },
    ]);
  });

  it("…_now tells up, down and stale, how old the row is, and leaves out hosts that were removed, until they are back", async () => {
    const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
    const check = (name: string, seconds: number, fields: Partial<Metric> = {}) =>
      metricWith({
        address: name,
        scheduled_at: ago(seconds),
        checked_at: ago(seconds),
        next_at: ago(seconds - 60),
        ...fields,
      });
    const removed = { error: "removed", status_code: null, is_valid: false, next_at: null };
    const missed = { error: "missed", status_code: null, is_valid: false };
    const table = await fill([
      check("down", 30, { status_code: 503 }),
      check("gone", 90),
      check("gone", 80, removed),
      check("gone", 85, { latency: 9 }),
      check("back", 90),
      check("back", 80, removed),
      check("back", 10),
      check("late", 120),
      check("never due", 900, { next_at: null }),
      check("stale", 600),
      // Nothing was checked since: a check that was missed is none.
      check("stale", 20, missed),
      check("stale and down", 600, { status_code: 503 }),
      check("up", 30),
    ]);
    const rows = await ask(
      `select address, up, state, reason, round(extract(epoch from age) / 10) as age from ${
        viewName(table, "now")
      } order by address`,
    );
    expect(rows.map(({ address, up, state, reason, age }) => [address, up, state, reason, Number(age)])).toEqual([
      ["back", true, "up", null, 1],
      ["down", false, "down", "status 503", 3],
      ["late", true, "up", null, 12],
      ["never due", true, "up", null, 90],
      ["stale", true, "stale", "no check since it was due", 60],
      ["stale and down", false, "stale", "status 503", 60],
      ["up", true, "up", null, 3],
    ]);
  });

  it("…_outages ends an outage when its host is removed, and begins another when it is back and down", async () => {
    const removed = { error: "removed", status_code: null, is_valid: false };
    const table = await fill([checkAt("10:00", down), checkAt("10:30", removed), checkAt("11:00", down)]);
    const rows = await ask(
      `select started_at, ended_at, checks::int from ${viewName(table, "outages")} order by started_at`,
    );
    expect([...rows]).toEqual([
      { started_at: new Date(at("10:00")), ended_at: new Date(at("10:30")), checks: 1 },
      { started_at: new Date(at("11:00")), ended_at: null, checks: 1 },
    ]);
  });

  it("the average of up is the uptime of any period", async () => {
    const missed = { error: "missed", status_code: null, is_valid: false };
    const table = await fill([
      checkAt("10:00"),
      checkAt("10:10", down),
      checkAt("10:20"),
      checkAt("10:30"),
      checkAt("10:40", missed),
    ]);
    const [row] = await ask(`select round(100 * avg(up::int), 1)::float8 as uptime from ${quoteTables(table).main}`);
    expect(row).toEqual({ uptime: 75 });
  });

  it("SQL and TypeScript call the same checks up and down, and give the same reason", async () => {
    const metrics = [null, "dns", "missed", "removed"].flatMap((error) =>
      [null, "", "no such name"].flatMap((error_detail) =>
        [null, 0, 1, 200, 399, 400, 503, 999].flatMap((status_code) =>
          [true, false].flatMap((is_valid) =>
            [null, ...(error === "missed" || error === "removed" ? [] : [true, false])].map((up) =>
              metricWith({ error, error_detail, status_code, is_valid, up })
            )
          )
        )
      )
    );
    const rows = await ask(
      `select ${madeSql(ALL)} as made, ${upSql(ALL)} as up, ${reasonSql(ALL)} as reason
       from json_to_recordset('${JSON.stringify(metrics)}')
         as t(error text, error_detail text, status_code int, is_valid boolean, up boolean)`,
    );
    const states = rows.map(({ made, up, reason }) => [!made ? "unknown" : up ? "up" : "down", up ? null : reason]);
    expect(states).toEqual(metrics.map((metric) => {
      return [stateOf(metric), stateOf(metric) === "up" ? null : reasonDown(metric)];
    }));
  });

  it("no view is taken for so dear that it is compiled, with a part for each day of a year", async () => {
    const table = { schema: null, name: `v${++count}` };
    await Store.open(database, table, { partition: "day" });
    for (let day = 1; day <= 400; day++) {
      await ask(newPartSql(table, "day", spanOf("day", Date.now() - day * 86_400_000)));
    }
    // One of the hosts is checked more often: its outages are told from thousands of rows.
    for (const [hosts, interval] of [["1, 50", "1 day"], ["7, 7", "2 hours"]]) {
      await ask(
        `insert into ${table.name} (address, latency, is_valid, scheduled_at, checked_at, check_id, up)
         select 'https://h' || host, 1, true, due, due, md5(host::text || due)::uuid, true
         from generate_series(${hosts}) host, generate_series(now() - interval '390 days', now(), '${interval}') due`,
      );
    }
    await ask(`analyze ${table.name}`);
    const questions = [
      "now",
      "uptime where address = 'https://h7'",
      "uptime where day = current_date - 1",
      "outages where address = 'https://h7'",
    ];
    for (const question of questions) {
      const [row] = await ask(`explain (format json) select * from ${table.name}_${question}`);
      const cost = row?.["QUERY PLAN"][0].Plan["Total Cost"];
      expect(cost, question).toBeGreaterThan(0);
      // The default of jit_above_cost is 100,000.
      expect(cost, question).toBeLessThan(75_000);
    }
  });

  it.each(["now", "outages"] as const)("viewSql replaces a view …_%s of before it had a reason", async (view) => {
    const table = await fill([checkAt("10:00", { status_code: 503 })]);
    const [definition] = await ask(
      `select pg_get_viewdef('${viewName(table, view)}'::regclass) as sql,
         string_agg(attname, ', ' order by attnum) as columns
       from pg_attribute where attrelid = '${
        viewName(table, view)
      }'::regclass and attnum > 0 and attname not in ('reason', 'state', 'age', 'next_at')
         and attname not like 'maintenance%'`,
    );
    const sql = String(definition?.sql).replace(/;$/, "");
    await ask(`drop view ${viewName(table, view)}`);
    await ask(`create view ${viewName(table, view)} as select ${definition?.columns} from (${sql}) v`);
    await ask(viewSql(table, view, METRIC_FIELDS));
    const rows = await ask(`select reason from ${viewName(table, view)}`);
    expect([...rows]).toEqual([{ reason: "status 503" }]);
  });

  it.each(VIEWS)("viewSql makes …_%s over a table that has the four columns and a time only", async (view) => {
    const table = { schema: null, name: `v${++count}` };
    const columns = ["address", "status_code", "latency", "is_valid", "checked_at"] as const;
    await ask(
      `create table ${table.name} (address text, status_code int not null, latency real, is_valid bool, checked_at timestamptz)`,
    );
    await ask(viewSql(table, view, columns));
    await ask(`insert into ${table.name} values ('a', 0, 1, false, now())`);
    const rows = await ask(`select address from ${viewName(table, view)}`);
    expect([...rows]).toEqual([{ address: "a" }]);
  });

  it("Store.open makes no views over a table that it did not create: they would hinder its owner", async () => {
    const table = { schema: null, name: `v${++count}` };
    await ask(
      `create table ${table.name} (address text, status_code int, latency real, is_valid bool, checked_at timestamptz)`,
    );
    await Store.open(database, table);
    const rows = await ask(`select viewname from pg_views where viewname like '${table.name}\\_%'`);
    expect([...rows]).toEqual([]);
  });
});
