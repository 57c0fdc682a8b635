import { madeSql, upSql } from "./host_state.ts";
import { inMaintenanceSql, type MaintenanceTable } from "./maintenance_sql.ts";

// What the rows of a table say of a day: one row an address, location and UTC day. The roll-up
// writes it down, and the views compute it for days that are not rolled up yet.

/** The columns that a table must have for this, beside the four that every table has. */
export const DAILY_NEEDS = [
  "scheduled_at",
  "checked_at",
  "error",
  "tls_expires_at",
  "location",
  "check_id",
  "up",
  "next_at",
] as const;

/**
 * An address is compared by its bytes, since each row goes into an index that begins with it. Most
 * databases compare texts by the rules of a language. A row would take them half as much time again.
 */
export const ADDRESS_TYPE = 'text collate "C"';

/** The columns of a day's row with their types, in the order in which `daySql` gives them. */
export const DAILY_COLUMNS = {
  address: `${ADDRESS_TYPE} not null`,
  location: "text not null",
  day: "date not null",
  checks: "integer not null",
  up: "integer not null",
  down: "integer not null",
  missed: "integer not null",
  removed: "integer not null",
  seconds_down: "double precision not null",
  longest_outage: "interval not null",
  latency_p50: "double precision",
  latency_p95: "double precision",
  latency_p99: "double precision",
  latency_max: "double precision",
  latency_from: "integer",
  latency_counts: "integer[] not null",
  tls_expires_at: "timestamptz",
} as const;

/** Seconds. Bucket 0 of the histogram holds what is faster. */
const SHORTEST = 0.0001;
/**
 * Each bucket ends at so many times its beginning. A latency taken for the geometric middle of its
 * bucket is wrong by 4.9 % at most.
 */
const GROWTH = 1.1;

/** The number of the bucket that a latency falls into. */
function bucketSql(latency: string): string {
  return `case when ${latency} < ${SHORTEST} then 0 else floor(ln(${latency} / ${SHORTEST}) / ln(${GROWTH}::float8))::int end`;
}

/** The latency in the middle of a bucket. */
function middleSql(bucket: string): string {
  return `(${SHORTEST}::float8 * ${GROWTH}::float8 ^ (${bucket} + 0.5))`;
}

/**
 * The latency below which a share of the checks was, from the histograms of several rows.
 * `histograms` gives their columns `latency_from` and `counts`.
 */
export function quantileSql(share: number, histograms: string): string {
  const bucket = `h.latency_from + c.i::int - 1`;
  return `(select ${middleSql("bucket")} from (
      select bucket, sum(sum(n)) over (order by bucket) as sofar, sum(sum(n)) over () as total
      from (select ${bucket} as bucket, c.n from (${histograms}) h
        cross join lateral unnest(h.counts) with ordinality c(n, i)) b group by bucket
    ) q where sofar >= ${share} * total order by bucket limit 1)`;
}

/** The moments at which a day begins and ends; `day` is an expression of the type date. */
export function daySpanSql(day: string): { readonly from: string; readonly to: string } {
  return { from: `(${day})::timestamp at time zone 'UTC'`, to: `(${day} + 1)::timestamp at time zone 'UTC'` };
}

const ALL = { error: true, up: true };

/**
 * The rows of the table that belong to a day, as `daySql` takes them. `condition` is about the
 * table `m`.
 */
export function rowsOfDaySql(main: string, day: string, condition = "true"): string {
  const { from, to } = daySpanSql(day);
  return `select m.* from ${main} m where m.scheduled_at >= ${from} and m.scheduled_at < ${to} and ${condition}`;
}

/**
 * One row for each address and location of `rows`, which are a day's. It names no day. Missed checks
 * do not count. One that was not up while somebody worked at the site is neither up nor down. A
 * check lasts until the next one, or until that was due. Rows of one moment have an order too, so
 * that the result is always the same.
 */
export function daySql(rows: string, maintenance: MaintenanceTable | null): string {
  const up = upSql(ALL);
  const planned = maintenance === null ? "false" : inMaintenanceSql(maintenance, "r.address", "r.scheduled_at");
  return `select address, location, checks::int, up::int, down::int, missed::int, removed::int,
  coalesce(extract(epoch from lasted), 0)::float8 as seconds_down,
  coalesce(case when down > 0 then (select max(lasted) from (
    select sum(d.lasted) as lasted from unnest(runs, lengths) d(run, lasted) group by d.run
  ) outages) end, interval '0') as longest_outage,
  latencies[1] as latency_p50, latencies[2] as latency_p95, latencies[3] as latency_p99, latency_max, latency_from,
  array(select count(*)::int - 1 from (
    select unnest(buckets) as bucket
    union all (select generate_series(latency_from, latency_to) limit latency_to - latency_from + 1)
  ) each group by bucket order by bucket) as latency_counts, tls_expires_at
from (
  select address, location, count(*) filter (where made) as checks, count(*) filter (where made and is_up) as up,
    count(*) filter (where is_down) as down, count(*) filter (where is_missed) as missed,
    count(*) filter (where is_removed) as removed, sum(lasted) filter (where is_down) as lasted,
    array_agg(recoveries) filter (where is_down) as runs, array_agg(lasted) filter (where is_down) as lengths,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (order by latency) filter (where answered) as latencies,
    max(latency) filter (where answered) as latency_max, array_agg(bucket) filter (where answered) as buckets,
    min(bucket) filter (where answered) as latency_from, max(bucket) filter (where answered) as latency_to,
    min(tls_expires_at) as tls_expires_at
  from (
    select *, count(*) filter (where is_up or is_removed) over earlier as recoveries,
      coalesce(lead(checked_at) over earlier, greatest(next_at, checked_at)) - checked_at as lasted
    from (
      select address, coalesce(location, '') as location, checked_at, scheduled_at, check_id, next_at, tls_expires_at,
        latency::float8 as latency, ${bucketSql("latency::float8")} as bucket, ${up} as is_up,
        ${madeSql(ALL)} as made, ${madeSql(ALL)} and not ${up} and not ${planned} as is_down,
        ${madeSql(ALL)} and status_code > 0 as answered,
        error is not distinct from 'missed' as is_missed, error is not distinct from 'removed' as is_removed
      from (${rows}) r
    ) checks
    window earlier as (partition by address, location, is_missed order by checked_at, scheduled_at, check_id)
  ) followed group by address, location
) days`;
}
