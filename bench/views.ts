/**
 * How long the views take over a large table: `npm run bench:views [-- --rows N]`. Fills a table of
 * a PostgreSQL server of its own with a week of checks of 1,000 addresses (10,000,000 rows by
 * default), and times what dashboards ask.
 */
import { parseArgs } from "node:util";
import { openPostgres } from "../lib/postgres/database/postgres.ts";
import { Store } from "../lib/postgres/store.ts";
import { formatTable } from "../lib/postgres/table_text.ts";
import { startPostgres } from "../tests/support/postgres.ts";

const { values } = parseArgs({ options: { rows: { type: "string", default: "10000000" } } });
const rows = Number(values.rows);
const ADDRESSES = 1000;

/** One check in 200 fails, in runs of five; every latency is different. */
const FILL = `
  insert into host_metrics (address, status_code, latency, is_valid, scheduled_at, checked_at, error, error_detail,
    tls_expires_at, check_id, up)
  select 'https://host' || n % ${ADDRESSES} || '.example/health', case when bad then null else 200 end,
    case when bad then 10 else 0.05 + (n::bigint * 7919 % 1000) / 5000.0 end, not bad,
    due, due, case when bad then 'timeout' end,
    case when bad then 'no answer within 10 s' end, '2026-03-01Z', gen_random_uuid(), not bad
  from (select n, timestamptz '2026-01-01Z' + (n / ${ADDRESSES}) * interval '1 minute' as due, (n / ${ADDRESSES} + n % ${ADDRESSES} * 13) % 1000 < 5 as bad from generate_series(0, ${
  rows - 1
}) n) g`;

const QUESTIONS = [
  ["now: every address", "select * from host_metrics_now"],
  ["now: who is down", "select * from host_metrics_now where not up"],
  ["uptime: one address", "select * from host_metrics_uptime where address = 'https://host7.example/health'"],
  ["uptime: one day of all", "select * from host_metrics_uptime where day = '2026-01-03'"],
  ["uptime: all", "select * from host_metrics_uptime"],
  ["outages: one address", "select * from host_metrics_outages where address = 'https://host7.example/health'"],
  ["outages: all", "select * from host_metrics_outages"],
] as const;

await using server = await startPostgres({ own: true });
const database = openPostgres(server.settings);
await Store.open(database, { schema: null, name: "host_metrics" });
await database[Symbol.asyncDispose]();
console.log(`Filling a table with ${rows} rows …`);
// The consumer makes such a part when its first metric comes.
await server.sql.unsafe(
  "create table host_metrics_202601 partition of host_metrics for values from ('2026-01-01Z') to ('2026-02-01Z')",
);
await server.sql.unsafe(FILL);
await server.sql.unsafe("vacuum analyze host_metrics");

const results: object[] = [];
for (const [question, sql] of QUESTIONS) {
  const times: number[] = [];
  let found = 0;
  for (let run = 0; run < 3; run++) {
    const began = performance.now();
    found = (await server.sql.unsafe(sql)).length;
    times.push(performance.now() - began);
  }
  const [fastest = 0, median = 0] = times.toSorted((a, b) => a - b);
  results.push({ question, rows: found, "median ms": Math.round(median), "fastest ms": Math.round(fastest) });
}
console.log(formatTable(results));
for (const [question, sql] of QUESTIONS.filter(([, sql]) => sql.includes("where"))) {
  const plan = await server.sql.unsafe(`explain ${sql}`);
  console.log(`${question}\n${plan.map((row) => `  ${row["QUERY PLAN"]}`).join("\n")}\n`);
}
