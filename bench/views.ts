/**
 * How long the views take over a large table: `npm run bench:views [-- --rows N --addresses N --parts N]`. Fills a
 * table of a PostgreSQL server of its own, rolls up its days as the consumer does, and times what dashboards ask.
 * Each part holds one full day; yesterday and today are full too. The days of a year are in the roll-up.
 * 50 million rows take 12 GB of disk and, on two quiet cores, some 20 minutes.
 */
import { parseArgs } from "node:util";
import { openPostgres } from "../lib/postgres/database/postgres.ts";
import { DAILY_COLUMNS } from "../lib/postgres/daily_sql.ts";
import { newPartSql } from "../lib/postgres/parts.ts";
import { spanOf } from "../lib/postgres/part_spans.ts";
import { RollUp } from "../lib/postgres/roll_up.ts";
import { Store } from "../lib/postgres/store.ts";
import { formatTable } from "../lib/postgres/table_text.ts";
import { prepareTables } from "../lib/postgres/tables.ts";
import { startPostgres } from "../tests/support/postgres.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "10000000" },
    addresses: { type: "string", default: "10000" },
    parts: { type: "string", default: "60" },
  },
});
const [rows, addresses, parts] = [Number(values.rows), Number(values.addresses), Number(values.parts)];
const TABLE = { schema: null, name: "host_metrics" };
const DAY = 86_400_000;

const now = new Date();
const today = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
/** The first of the parts before this month, the newest first. */
const months = Array.from({ length: parts - 1 }, (_, i) => Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1 - i));
const days = [...months.map((month) => month + 14 * DAY), today - DAY, today];
const checks = Math.max(1, Math.round(rows / days.length / addresses));

/** One check in 200 fails, in runs of five; every latency is different. */
function fillSql(day: number): string {
  const begin = `'${new Date(day).toISOString()}'::timestamptz`;
  const time = day === today ? (Date.now() - today) / 1000 : 86_400;
  return `insert into host_metrics (address, status_code, latency, is_valid, scheduled_at, checked_at, error,
    error_detail, tls_expires_at, check_id, up, next_at)
  select 'https://host' || n % ${addresses} || '.example/health', case when bad then null else 200 end,
    case when bad then 10 else 0.05 + (n::bigint * 7919 % 1000) / 5000.0 end, not bad, due, due,
    case when bad then 'timeout' end, case when bad then 'no answer within 10 s' end, '2027-03-01Z', gen_random_uuid(),
    not bad, due + interval '1 hour'
  from (select n, ${begin} + (n / ${addresses}) * interval '1 second' * ${time / checks} as due,
    (n / ${addresses} + n % ${addresses} * 13) % 1000 < 5 as bad from generate_series(0, ${
    checks * addresses - 1
  }) n) g`;
}

const HOST = "https://host7.example/health";
const YESTERDAY = `'${new Date(today - DAY).toISOString().slice(0, 10)}'`;
const QUESTIONS = [
  ["now: every address", "select * from host_metrics_now"],
  ["now: who is down", "select * from host_metrics_now where state = 'down'"],
  [
    "uptime: a year of one address",
    `select * from host_metrics_uptime where address = '${HOST}' and day < ${YESTERDAY}`,
  ],
  [
    "uptime: a year of one address, in one figure",
    `select round(100.0 * sum(up) / sum(checks), 3) from host_metrics_daily where address = '${HOST}'`,
  ],
  ["uptime: one address, today too", `select * from host_metrics_uptime where address = '${HOST}'`],
  ["uptime: yesterday of all", `select * from host_metrics_uptime where day = ${YESTERDAY}`],
  [
    "uptime: yesterday of all, the share",
    `select address, up_percent from host_metrics_uptime where day = ${YESTERDAY}`,
  ],
  ["outages: one address", `select * from host_metrics_outages where address = '${HOST}'`],
] as const;

/** Works on two at a time: the server has a process for each. */
async function inPairs<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all([worker(), worker()]);
}

// What is vacuumed here is not vacuumed a second time, in the middle of a measurement.
const settings = ["shared_buffers=1GB", "max_wal_size=8GB", "autovacuum=off"];
await using server = await startPostgres({ own: true, settings });
const began = performance.now();
const say = (what: string) => console.log(`${((performance.now() - began) / 1000).toFixed(0)} s: ${what}`);
await using database = openPostgres(server.settings);
await Store.open(database, TABLE);
for (const month of months) await server.sql.unsafe(newPartSql(TABLE, "month", spanOf("month", month)));
const loading = performance.now();
await inPairs(days, (day) => server.sql.unsafe(fillSql(day)));
const perLoaded = (performance.now() - loading) / (checks * addresses * days.length) * 1000;
const noted = days.map((day) => `('${new Date(day).toISOString().slice(0, 10)}')`).join(", ");
await server.sql.unsafe(`insert into host_metrics_days (day) values ${noted} on conflict do nothing`);
const made = await server.sql.unsafe(
  "select inhrelid::regclass::text as part from pg_inherits where inhparent = 'host_metrics'::regclass",
);
await inPairs(made, ({ part }) => server.sql.unsafe(`vacuum ${part}`));
await server.sql.unsafe("analyze host_metrics");
say(`${checks * addresses * days.length} rows in ${parts} parts, in ${perLoaded.toFixed(1)} µs a row`);

const tables = await prepareTables(database, TABLE);
const rollUp = new RollUp(database, tables, { rolledUp() {} }, undefined, { after: 0, again: 600 });
const { signal } = new AbortController();
const started = performance.now();
let rolled = 0;
while (await rollUp.next(signal) !== null) {
  if (++rolled % 10 === 0) say(`${rolled} days rolled up`);
}
const perRow = (performance.now() - started) / (rolled * checks * addresses) * 1000;
say(`${rolled} days rolled up, in ${perRow.toFixed(1)} µs a row, with as much time left to others`);
// A year of days, each like yesterday.
const columns = Object.keys(DAILY_COLUMNS);
await server.sql.unsafe(`insert into host_metrics_daily (${columns.join(", ")})
  select ${columns.map((column) => column === "day" ? "day - n" : column).join(", ")}
  from host_metrics_daily cross join generate_series(1, 364) n where day = ${YESTERDAY} on conflict do nothing`);
await server.sql.unsafe(`insert into host_metrics_days (day, stale, rolled_up_at)
  select ${YESTERDAY}::date - n, false, now() from generate_series(1, 364) n on conflict do nothing`);
await server.sql.unsafe("vacuum analyze host_metrics_daily, host_metrics_days");
const [size] = await server.sql.unsafe(
  `select count(*)::int as rows, pg_total_relation_size('host_metrics_daily')::float8
  / count(*) as bytes from host_metrics_daily`,
);
say(`${size?.rows} rows in the roll-up, of ${Math.round(size?.bytes)} bytes with their indexes`);

const results: object[] = [];
for (const [question, sql] of QUESTIONS) {
  const times: number[] = [];
  let found = 0;
  for (let run = 0; run < 5; run++) {
    const began = performance.now();
    found = (await server.sql.unsafe(sql)).length;
    times.push(performance.now() - began);
  }
  const [fastest = 0, , median = 0] = times.toSorted((a, b) => a - b);
  results.push({ question, rows: found, "median ms": Math.round(median), "fastest ms": Math.round(fastest) });
}
console.log(formatTable(results));
for (const [question, sql] of QUESTIONS) {
  const plan = await server.sql.unsafe(`explain (analyze, timing off) ${sql}`);
  const lines = plan.map((row) => String(row["QUERY PLAN"])).filter((line) => !line.includes("never executed"));
  console.log(`${question}\n${lines.map((line) => `  ${line}`).join("\n")}\n`);
}
