import type { TableName } from "../config/setting_types.ts";
import type { Metric } from "../metric.ts";
import { quoteIdentifier } from "./pg_text.ts";
import { currentWindowsSql, inWindowsSql, windowsSql } from "./maintenance_sql.ts";
import { latestByDay, type RowFacts, uptimeByDay } from "./day_views.ts";
import { type QuotedTables, quoteTables } from "./schema.ts";
import { CHECK_GRACE, RowState } from "./host_state.ts";

/** The views over a table of metrics, by the ending of their names. */
export const VIEWS = ["now", "outages", "uptime"] as const;
export type View = typeof VIEWS[number];

/** The name of a view, quoted. */
export function viewName({ schema, name }: TableName, view: View): string {
  return `${schema === null ? "" : `${quoteIdentifier(schema)}.`}${quoteIdentifier(`${name}_${view}`)}`;
}

/**
 * The statement that makes a view over the columns of the table. The table has those that every
 * table has, `checked_at`, and any others. If its days are rolled up, it has all columns.
 */
export function viewSql(
  table: TableName,
  view: View,
  columns: readonly (keyof Metric)[],
  options: Omit<ViewQueryOptions, "source"> = { hasDays: false, hasMaintenance: false },
): string {
  return `create or replace view ${viewName(table, view)} as\n${viewQuery(quoteTables(table), view, columns, options)}`;
}

/** What a view's query is made of, beside the columns of the table. */
export interface ViewQueryOptions {
  /** True if the table's days are rolled up. */
  readonly hasDays: boolean;
  /** True if there is a table of the times in which people work at sites. */
  readonly hasMaintenance: boolean;
  /** What stands for the table in the view of the outages: a query in brackets that is named `m`. */
  readonly source?: string;
}

/** A table that the consumer creates has all of it. */
export const WITH_COMPANIONS: ViewQueryOptions = { hasDays: true, hasMaintenance: true };

/** The query of a view, for a table that may lack the view. */
export function viewQuery(
  tables: QuotedTables,
  view: View,
  columns: readonly (keyof Metric)[],
  { hasDays, hasMaintenance, source = `${tables.main} m` }: ViewQueryOptions,
): string {
  const facts = new Facts(tables.main, source, columns, hasMaintenance ? tables : null);
  const byDay = {
    now: () => nowSql(latestByDay(tables, facts), facts),
    outages: null,
    uptime: () => uptimeByDay(tables, hasMaintenance ? tables : null),
  };
  return (hasDays ? byDay[view]?.() : undefined) ?? DEFINITIONS[view](facts);
}

/** The table, and its columns by name. Null stands for a column that it lacks. */
class Facts extends RowState implements RowFacts {
  readonly main: string;
  /** The rows, named `m`. */
  readonly rows: string;
  readonly #maintenance: Pick<QuotedTables, "maintenance"> | null;

  constructor(
    main: string,
    rows: string,
    columns: Iterable<keyof Metric>,
    maintenance: Pick<QuotedTables, "maintenance"> | null,
  ) {
    super(columns);
    this.main = main;
    this.rows = rows;
    this.#maintenance = maintenance;
  }

  column(name: keyof Metric, type: string): string {
    return this.columns.has(name) ? name : `null::${type} as ${name}`;
  }

  /** The columns of a row that …_now needs. Those that the table lacks are null. */
  get row(): string {
    return `address, ${this.column("up", "boolean")}, status_code, latency, is_valid, checked_at, ${
      this.column("error", "text")
    },
    ${this.column("error_detail", "text")}, ${this.column("tls_expires_at", "timestamptz")}, ${
      this.column("location", "text")
    }, ${this.column("next_at", "timestamptz")}`;
  }

  /** True for the last row of a host that left the hosts file. */
  get removed(): string {
    return this.optional.error ? "error is not distinct from 'removed'" : "false";
  }

  /** Leaves out checks that were missed: they tell nothing of their host. */
  get told(): string {
    return this.optional.error ? "error is distinct from 'missed'" : "true";
  }

  /** Leaves out checks that were not up, of addresses that were worked at. It needs `windows`. */
  get unplanned(): string {
    return this.#maintenance === null ? "" : ` and (${this.up} or ${this.removed} or not ${this.#worked})`;
  }

  /** True for a check that was not up, of an address that was not worked at. It needs `windows`. */
  get down(): string {
    return `not ${this.up}${this.#maintenance === null ? "" : ` and not ${this.#worked}`}`;
  }

  get #worked(): string {
    return inWindowsSql("m.address", `m.${this.time}`);
  }

  /** All times in which people work at sites, read once. A query of `with`, and the comma behind it. */
  get windows(): string {
    return this.#maintenance === null ? "" : `${windowsSql(this.#maintenance)}, `;
  }

  /** The times in which people work at sites now, the last to end first. A query of `with`. */
  get planned(): string {
    const none = "select null::text as pattern, null::timestamptz as ends_at, null::text as note limit 0";
    return `planned as materialized (
  ${this.#maintenance === null ? none : `${currentWindowsSql(this.#maintenance)} order by w.ends_at desc`}
)`;
  }
}

/**
 * The newest row of each address: it goes from address to address through the index, and takes the
 * first row of each. Reading every row would take seconds.
 */
function latestByAddress(t: Facts): string {
  return `with recursive addresses as (
  (select address from ${t.main} order by address limit 1)
  union all
  select (select m.address from ${t.main} m where m.address > a.address order by m.address limit 1)
  from addresses a where a.address is not null
), latest as (
  select l.* from addresses a cross join lateral (
    select ${t.row} from ${t.main} m where m.address = a.address and ${t.told} order by m.${t.time} desc limit 1
  ) l
)`;
}

/**
 * The view …_now over the newest rows, which `latest` gives. Thousands of addresses ask `planned`,
 * so it is sorted beforehand. Dividing floats takes a third of the time of dividing exactly.
 */
function nowSql(latest: string, { planned, up, reason, removed }: Facts): string {
  return `${latest}, ${planned}
select latest.address, latest.is_up as up, latest.status_code, latest.latency, latest.is_valid, latest.checked_at, latest.error,
  latest.error_detail, latest.tls_expires_at, latest.location,
  ceil(date_part('epoch', latest.tls_expires_at - now()) / 86400)::int as certificate_days_left,
  coalesce(latest.reason, case when is_stale then 'no check since it was due' end) as reason,
  case when latest.is_up and not is_stale then 'up' when plan.ends_at is not null then 'maintenance'
    when is_stale then 'stale' else 'down' end as state,
  now() - latest.checked_at as age, latest.next_at, plan.ends_at as maintenance_until, plan.note as maintenance_note
from (
  select *, ${up} as is_up, ${reason} as reason, coalesce(now() > next_at + interval '${CHECK_GRACE} seconds', false) as is_stale
  from latest where not (${removed})
) latest left join lateral (
  select p.ends_at, p.note from planned p where latest.address like p.pattern limit 1
) plan on true`;
}

// New columns come last: so PostgreSQL can replace a view of an earlier version.
const DEFINITIONS: Readonly<Record<View, (facts: Facts) => string>> = {
  now: (t) => nowSql(latestByAddress(t), t),

  // An outage lasts from the first check that found the host down to the next that found it up, or
  // until it left the hosts file. Without these it goes on.
  outages: (t) =>
    `with ${t.windows}checks as (
  select address, checked_at, status_code, ${t.column("error", "text")}, ${
      t.column("error_detail", "text")
    }, ${t.up} as up,
    ${t.reason} as reason, ${t.removed} as removed,
    count(*) filter (where ${t.up} or ${t.removed}) over earlier as recoveries,
    lead(checked_at) over earlier as next_at
  from ${t.rows} where ${t.told}${t.unplanned}
  window earlier as (partition by address order by checked_at)
)
select address, min(checked_at) as started_at,
  case when bool_and(next_at is not null) then max(next_at) end as ended_at,
  coalesce(max(next_at), now()) - min(checked_at) as duration,
  count(*) as checks,
  (array_agg(error order by checked_at))[1] as error,
  (array_agg(error_detail order by checked_at))[1] as error_detail,
  (array_agg(reason order by checked_at))[1] as reason
from checks where not up and not removed group by address, recoveries`,

  // Days are UTC's. An outage is counted to the day's last check; the next day tells of the rest.
  // Latencies are those of checks that got an answer. Everything is divided by address and day, so
  // that a condition on them reaches the table.
  uptime: (t) =>
    `with ${t.windows}checks as (
  select address, (checked_at at time zone 'UTC')::date as day, checked_at, status_code, latency, ${t.up} as up, ${t.down} as down,
    count(*) filter (where ${t.up}) over earlier as recoveries,
    lead(checked_at, 1, checked_at) over earlier - checked_at as lasted
  from ${t.main} m where ${t.made}
  window earlier as (partition by address, (checked_at at time zone 'UTC')::date order by checked_at)
), runs as (
  select *, sum(lasted) filter (where down) over (partition by address, day, recoveries) as outage from checks
), days as (
  select address, day, count(*) as checks, count(*) filter (where up) as ups, count(*) filter (where down) as downs,
    max(outage) as outage,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (order by latency) filter (where status_code > 0) as latencies
  from runs group by address, day
)
select address, day, checks, round(100.0 * ups / nullif(ups + downs, 0), 3) as up_percent, latencies[1] as latency_p50,
  latencies[2] as latency_p95, latencies[3] as latency_p99, coalesce(outage, interval '0') as longest_outage
from days`,
};
