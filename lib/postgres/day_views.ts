import { daySpanSql, daySql, quantileSql, rowsOfDaySql } from "./daily_sql.ts";
import { settledBeforeSql } from "./days.ts";
import type { MaintenanceTable } from "./maintenance_sql.ts";
import type { QuotedTables } from "./schema.ts";

// Views over a table whose days are rolled up. They read as many rows as the answer needs, however
// large the table is.

/** Expressions over a row of the table. */
export interface RowFacts {
  /** The columns that tell of a check; the address is the first one. */
  readonly row: string;
  /** Leaves out checks that were missed. */
  readonly told: string;
}

/**
 * The newest row of each address. Addresses with rows in a day that is not rolled up are found
 * there, one after the other, with the row itself. The others lie in the gaps between these, and
 * their days tell which was the last one. So no other part of the table is looked into, nor are those
 * that are made ahead: no row is due more than two days from now (part_spans.ts). A list of one
 * moment chooses the parts as well, but is no condition of the index, which compares one with each
 * entry of a page.
 *
 * Few addresses are in gaps, but the planner expects a thousand, and a look into each part for every
 * one: with many parts it would compile the query, which takes longer than the query. Of a limit
 * that it does not know it expects a tenth.
 */
export function latestByDay(tables: QuotedTables, { row, told }: RowFacts): string {
  const { main, daily } = tables;
  const since = settledBeforeSql(tables);
  const isRecent = `m.scheduled_at >= ${since} and m.scheduled_at < any (array[now() + interval '3 days'])`;
  const { from, to } = daySpanSql("last.day");
  const all = (query: string) => `(select * from ${query} limit (select count(*) from ${query}))`;
  return `with recursive recent as (
  (select ${row}, left(m.address, 0) as before from ${main} m where ${isRecent} and ${told}
   order by m.address, m.scheduled_at desc limit 1)
  union all
  select next.*, r.address from recent r cross join lateral (
    select ${row} from ${main} m where m.address > r.address and ${isRecent} and ${told}
    order by m.address, m.scheduled_at desc limit 1
  ) next
), quiet as (
  select q.address, g.address as next from ${all("recent")} g cross join lateral (
    select d.address from ${daily} d where d.address > g.before and d.address < g.address order by d.address limit 1
  ) q
  union all
  select q.address, null from (select coalesce(max(address), '') as address from recent) g cross join lateral (
    select d.address from ${daily} d where d.address > g.address order by d.address limit 1
  ) q
  union all
  select more.address, q.next from quiet q cross join lateral (
    select d.address from ${daily} d where d.address > q.address order by d.address limit 1
  ) more where q.next is null or more.address < q.next
), latest as (
  select * from recent
  union all
  select old.*, null from ${all("quiet")} q cross join lateral (
    select d.day from ${daily} d where d.address = q.address and (d.checks > 0 or d.removed > 0)
    order by d.day desc limit 1
  ) last cross join lateral (
    select ${row} from ${main} m where m.address = q.address and m.scheduled_at >= ${from} and m.scheduled_at < ${to}
      and ${told} order by m.scheduled_at desc limit 1
  ) old
)`;
}

/**
 * True for every row. The planner cannot tell that only one part of the table has rows of a day, and
 * would take the cost of reading all parts for so high that it compiles the query, which takes
 * longer than the query. A range of the index is cheap to it.
 */
const anyAddress = (main: string) =>
  `m.address >= (select ''::text) and m.address <= (select max(x.address) from ${main} x)`;

const MERGED = [
  "checks",
  "up",
  "down",
  "missed",
  "seconds_down",
  "longest_outage",
  "latency_from",
  "latency_counts",
] as const;
const QUANTILES = [["latency_p50", 0.5], ["latency_p95", 0.95], ["latency_p99", 0.99]] as const;

/**
 * The uptime of each address and day, of the checks that were up or down. A day comes from its roll-up, or from its rows as long as
 * there is none. Of one location the percentiles are exact; those of several are told by their
 * histograms.
 */
export function uptimeByDay({ main, daily, days }: QuotedTables, maintenance: MaintenanceTable | null): string {
  const columns = [...MERGED, ...QUANTILES.map(([name]) => name)];
  const of = (row: string) => columns.map((column) => `${row}.${column}`).join(", ");
  // Arrays of different lengths go into no array; rows that hold one do.
  const histograms = "select * from unnest(s.histograms) t(latency_from integer, counts integer[])";
  const quantiles = QUANTILES.map(([name, share]) => {
    return `  case when places = 1 then ${name} else ${quantileSql(share, histograms)} end as ${name}`;
  });
  return `select address, day, checks, round(100.0 * up / nullif(up + down, 0), 3) as up_percent,
${quantiles.join(",\n")},
  longest_outage, missed, seconds_down
from (
  select address, day, sum(checks) as checks, sum(up) as up, sum(down) as down, sum(missed) as missed, sum(seconds_down) as seconds_down,
    max(longest_outage) as longest_outage, count(latency_from) as places,
    ${QUANTILES.map(([name]) => `max(${name}) as ${name}`).join(", ")},
    array_agg(row(latency_from, latency_counts)) filter (where latency_from is not null) as histograms
  from (
    select d.address, d.day, ${of("d")} from ${daily} d join ${days} u on u.day = d.day
    where u.rolled_up_at is not null
    union all
    select r.address, u.day, ${of("r")} from ${days} u cross join lateral (
      ${daySql(rowsOfDaySql(main, "u.day", anyAddress(main)), maintenance)}
    ) r where u.rolled_up_at is null
  ) d group by address, day having sum(checks) > 0
) s`;
}
