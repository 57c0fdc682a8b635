/**
 * Bytes a row with its index: `npm run bench:sizes [-- --rows N --addresses N]`. Fills tables of several layouts with
 * the same realistic rows, in the order in which checks are made, on a PostgreSQL server of its own.
 */
import { parseArgs } from "node:util";
import { METRIC_FIELDS } from "../lib/metric.ts";
import { creation } from "../lib/postgres/schema.ts";
import { formatTable } from "../lib/postgres/table_text.ts";
import { startPostgres } from "../tests/support/postgres.ts";

const { values } = parseArgs({
  options: { rows: { type: "string", default: "10000000" }, addresses: { type: "string", default: "10000" } },
});
const [rows, addresses] = [Number(values.rows), Number(values.addresses)];
/** Rows of one statement, as a consumer that catches up stores them. */
const BATCH = 100_000;

const FIRST_COLUMNS = `address text not null, status_code integer, latency double precision not null,
  is_valid boolean not null, scheduled_at timestamptz, checked_at timestamptz not null, error text, error_detail text,
  latency_dns double precision, latency_connect double precision, latency_tls double precision,
  latency_first_byte double precision, latency_body double precision, tls_expires_at timestamptz, location text,
  check_id uuid`;

interface Layout {
  readonly name: string;
  /** Makes the table `t`. */
  readonly sql: readonly string[];
  /** The fields that it has no column for. */
  readonly lacks?: readonly string[];
  /** Makes the index anew at the end, as a consumer does once a part gets no more rows. */
  readonly isPacked?: boolean;
}

const LAYOUTS: readonly Layout[] = [
  {
    name: "the first one, of 0.1",
    sql: [`create table t (${FIRST_COLUMNS})`, "create unique index on t (address, checked_at desc, check_id)"],
    lacks: ["up", "remote_address", "producer", "next_at", "labels"],
  },
  {
    name: "with the columns of today, in their order",
    sql: [
      `create table t (${FIRST_COLUMNS}, up boolean, remote_address inet, producer text, next_at timestamptz, labels jsonb)`,
      "create unique index on t (address, scheduled_at desc, check_id)",
    ],
  },
  { name: "today's", sql: creation({ schema: null, name: "t" }, "none").main },
  {
    name: "today's, of a part that is over: its index packed",
    sql: creation({ schema: null, name: "t" }, "none").main,
    isPacked: true,
  },
];

/** One check in 200 fails, in runs of five; one server in five is reached over IPv6. */
const VALUES: Readonly<Record<string, string>> = {
  address: "'https://' || substr(md5(h::text), 1, 6 + h % 14) || '.example' || (array['', '/', '/health'])[1 + h % 3]",
  status_code: "case when not bad then 200 end",
  latency: "case when bad then 10 + x / 1000 else x end",
  is_valid: "not bad",
  scheduled_at: "due",
  checked_at: "date_trunc('milliseconds', due + x * interval '20 milliseconds')",
  error: "case when bad then 'timeout' end",
  error_detail: "case when bad then 'no answer within 10 s' end",
  latency_dns: "x * 0.1",
  latency_connect: "x * 0.2",
  latency_tls: "case when not bad then x * 0.3 end",
  latency_first_byte: "case when not bad then x * 0.35 end",
  latency_body: "case when not bad then x * 0.05 end",
  tls_expires_at: "case when not bad then '2027-03-01Z'::timestamptz + h * interval '1 minute' end",
  location: "'Frankfurt'",
  check_id: "gen_random_uuid()",
  up: "not bad",
  remote_address:
    "(case when h % 5 = 0 then '2001:db8::' || to_hex(h) else '10.1.' || h / 250 || '.' || h % 250 end)::inet",
  producer: "'checker-fra-1'",
  next_at: "due + interval '1 minute'",
  labels: "null::jsonb",
};

function fillSql(fields: readonly string[], from: number, to: number): string {
  return `insert into t (${fields.join(", ")}) select ${fields.map((field) => VALUES[field]).join(", ")}
  from (select n, n % ${addresses} as h, '2026-11-01Z'::timestamptz + (n / ${addresses}) * interval '1 minute' as due,
    (n / ${addresses} + n % ${addresses} * 13) % 1000 < 5 as bad, (0.02 + random() ^ 4)::float8 as x
    from generate_series(${from}, ${to - 1}) n) g`;
}

await using server = await startPostgres({ own: true, settings: ["shared_buffers=1GB", "max_wal_size=8GB"] });
const { sql } = server;
let first: number | null = null;
const results: object[] = [];
for (const { name, sql: statements, lacks = [], isPacked = false } of LAYOUTS) {
  for (const statement of statements) await sql.unsafe(statement);
  const began = performance.now();
  const fields = METRIC_FIELDS.filter((field) => !lacks.includes(field));
  for (let from = 0; from < rows; from += BATCH) await sql.unsafe(fillSql(fields, from, Math.min(rows, from + BATCH)));
  const micros = (performance.now() - began) / rows * 1000;
  if (isPacked) await sql.unsafe("reindex table t");
  const [size] = await sql.unsafe("select pg_table_size('t')::float8 as row, pg_indexes_size('t')::float8 as index");
  const [row, index] = [size?.row / rows, size?.index / rows];
  first ??= row + index;
  results.push({
    layout: name,
    "bytes a row": Math.round(row),
    "of its index": Math.round(index),
    together: Math.round(row + index),
    "of the first": `${Math.round(100 * (row + index) / first)} %`,
    "µs a row": micros.toFixed(1),
  });
  await sql.unsafe("drop table t; drop table if exists t_daily, t_days");
}
console.log(formatTable(results));
