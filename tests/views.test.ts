import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Database } from "../lib/database.ts";
import { openPostgres } from "../lib/database/postgres.ts";
import type { Metric } from "../lib/metric.ts";
import type { TableName } from "../lib/schema.ts";
import { Store } from "../lib/store.ts";
import { viewName, VIEWS, viewSql } from "../lib/views.ts";
import { metricWith } from "./support/metrics.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "./support/postgres.ts";

const at = (time: string) => `2026-01-31T${time}:00.000Z`;
const checkAt = (time: string, fields: Partial<Metric> = {}): Metric => metricWith({ checked_at: at(time), ...fields });
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
  beforeAll(async () => {
    server = await startPostgres();
    database = openPostgres(server.settings);
  });
  afterAll(async () => {
    await database?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /** Stores metrics in a new table, through the store. */
  async function fill(metrics: readonly Metric[]): Promise<TableName> {
    const table = { schema: null, name: `v${++count}` };
    const store = await Store.open(database, table);
    const source = { topic: "t", topicId: String(count) };
    await store.claim(source, new Map([[0, 0]]));
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
      `select address, up, status_code, checked_at, error, certificate_days_left from ${
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
      },
      {
        address: "https://b.example",
        up: true,
        status_code: 200,
        checked_at: new Date(at("09:00")),
        error: null,
        certificate_days_left: 10,
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
    expect(rows.map(({ started_at, ended_at, checks, error, error_detail }) => {
      return { started_at, ended_at, checks: Number(checks), error, error_detail };
    })).toEqual([
      {
        started_at: new Date(at("10:10")),
        ended_at: new Date(at("10:30")),
        checks: 2,
        error: "timeout",
        error_detail: "no answer within 10 s",
      },
      { started_at: new Date(at("10:40")), ended_at: null, checks: 1, error: "no match", error_detail: null },
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
      metricWith({ checked_at: "2026-02-01T00:00:00.000Z", latency: 5 }),
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
