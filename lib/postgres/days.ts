import { DAILY_COLUMNS, daySpanSql, daySql, rowsOfDaySql } from "./daily_sql.ts";
import type { Database } from "./database.ts";
import { dayOf, type Span } from "./part_spans.ts";
import { maintenanceOf, type MaintenanceTable, patternSql } from "./maintenance_sql.ts";
import { arrayText } from "./pg_text.ts";
import type { QuotedTables } from "./schema.ts";

// Which days have rows, and which of them are rolled up. A day's line in the table of the days is
// stale from its first row on. A roll-up makes it fresh before it reads the rows. Whoever stores
// rows for the day later makes it stale again, in the same statement. So no crash forgets a day,
// and no row comes too late.

type DayTables = Pick<QuotedTables, "main" | "daily" | "days">;
/** With the times in which people worked at sites, if there is such a table. */
type MaintainedTables = DayTables & MaintenanceTable & { readonly hasMaintenance: boolean };

/**
 * Parts of the flush statement: they note that these days (an array as text) have new rows. Nothing
 * is noted if no mark has moved.
 *
 * A line that is stale is only locked, for sharing: writers do not wait for one another. A roll-up
 * that would make it fresh does wait, so that it reads what the writer stores. A line that is fresh
 * by the time of the lock is made stale again.
 */
export function noteDaysSql({ days }: DayTables, parameter: string): string {
  return `known as (
  select d.day from ${days} d where d.stale and d.day = any(${parameter}::date[]) and exists (select from moved)
  order by d.day for share of d
), noted as (
  insert into ${days} (day) select n.day from unnest(${parameter}::date[]) n(day)
  where exists (select from moved) and n.day not in (select k.day from known k) order by n.day
  on conflict (day) do update set stale = true
)`;
}

/** A day that is not rolled up, or has rows that came later. */
const UNSETTLED = "stale or roller is not null";

/** The roller of a day is taken for dead if it wrote nothing for so long. */
const LEASE = "1 minute";

/**
 * Takes a day that can be rolled up for the roller $1: it ended $2 seconds ago, and was not rolled
 * up within the last $3 seconds. Or its roller is dead, and then it goes on where that one stopped.
 * Gives no row if there is none, or another one is at work. The newest day comes first, but behind
 * those from before the day $4 (null: none): their rows are about to go.
 *
 * A day whose line a writer has locked comes later.
 */
export function takeDaySql({ days }: DayTables): string {
  return `update ${days} set stale = stale and roller is not null, roller = $1::text::uuid, bitten_at = now(),
  rolled_to = case when roller is not null then rolled_to end
where not exists (select from ${days} o
    where o.roller <> $1::text::uuid and o.bitten_at > now() - interval '${LEASE}')
  and day = (
    select d.day from ${days} d
    where d.day < ((now() - $2::text::float8 * interval '1 second') at time zone 'UTC')::date and (d.roller is not null
      or d.stale and coalesce(d.rolled_up_at <= now() - $3::text::float8 * interval '1 second', true))
    order by d.day < $4::text::date desc, d.day desc limit 1 for update skip locked)
returning day::text as day, rolled_to`;
}

/** Where to look for the addresses of a day: in its part of the table alone, if that is known. */
function within(span: Span | null): string {
  if (span === null) return "true";
  const [from, to] = [span.from, span.to].map((at) => `'${new Date(at).toISOString()}'`);
  return `m.scheduled_at >= ${from} and m.scheduled_at < ${to}`;
}

/**
 * Rolls up a bite: the day $1 of the next $3 addresses, for the roller $2. It begins behind the
 * address $4, or at the first one. Gives the last address, and how many these are. Gives no row if
 * the day was taken over.
 *
 * It locks the day's line: so whoever takes over the day waits for this statement, and reads later
 * rows than it. Rows of an address are found one by one through the index. A row of a day that
 * counts less than before is not written: rows were deleted since, and the day is kept as it was.
 */
export function biteSql(tables: MaintainedTables, span: Span | null, isFirst: boolean): string {
  const { main, daily, days } = tables;
  const columns = Object.keys(DAILY_COLUMNS);
  const changed = columns.filter((column) => !["address", "location", "day"].includes(column));
  const total = (row: string) => ["checks", "missed", "removed"].map((column) => `${row}.${column}`).join(" + ");
  // One address after the other: so little is sorted, and never by the address.
  const rows = rowsOfDaySql(main, "$1::text::date", `${within(span)} and m.address = a.address`);
  return `with recursive addresses(address, n) as (
  (select m.address, 1 from ${main} m where ${isFirst ? "true" : "m.address > $4::text"} and ${within(span)}
   order by m.address limit 1)
  union all
  select next.address, a.n + 1 from addresses a cross join lateral (
    select m.address from ${main} m where m.address > a.address and ${within(span)} order by m.address limit 1
  ) next where a.n < $3::text::int
), bite as materialized (
  select max(address) as last, count(*)::int as size from addresses
), held as (
  update ${days} d set rolled_to = coalesce(b.last, d.rolled_to), bitten_at = now() from bite b
  where d.day = $1::text::date and d.roller = $2::text::uuid returning b.last, b.size
), rolled as (
  insert into ${daily} as d (${columns.join(", ")})
  select ${columns.map((column) => column === "day" ? "$1::text::date" : `r.${column}`).join(", ")}
  from addresses a cross join lateral (${daySql(rows, maintenanceOf(tables))}) r where exists (select from held)
  on conflict (address, day, location) do update set ${changed.map((name) => `${name} = excluded.${name}`).join(", ")}
  where ${total("d")} <= ${total("excluded")}
)
select last, size from held`;
}

/** Its line in the table of the leases holds a sum of all times of maintenance, as a UUID. */
const HEEDED = "maintenance";

/**
 * Makes days stale that were rolled up when other times of maintenance were known: those that have
 * checks in such a time that count as down, or some that count as neither. Nothing is done unless
 * a time has changed since this was done last.
 */
export function heedMaintenanceSql(
  { daily, days, maintenance, leases }: Pick<QuotedTables, "daily" | "days" | "maintenance" | "leases">,
): string {
  const { from, to } = daySpanSql("d.day");
  const inIt = `${maintenance} w where w.starts_at < ${to} and ${from} < w.ends_at and w.starts_at < w.ends_at
      and d.address like ${patternSql("w.address")}`;
  return `with known as (
  select md5(coalesce(string_agg(md5(row(w.address, w.starts_at, w.ends_at)::text), '' order by w.address, w.starts_at,
    w.ends_at), ''))::uuid as sum from ${maintenance} w
), changed as (
  insert into ${leases} as l (what, holder, held_until) select '${HEEDED}', k.sum, 'infinity' from known k
  on conflict (what) do update set holder = excluded.holder where l.holder <> excluded.holder
  returning what
), touched as (
  select u.day from ${days} u where not u.stale and u.rolled_up_at is not null and exists (select from changed)
    and exists (select from ${daily} d where d.day = u.day and (d.checks > d.up + d.down
      or d.down > 0 and exists (select from ${inIt})))
  order by u.day for update of u
)
update ${days} u set stale = true from touched t where u.day = t.day`;
}

/** The day $1 is rolled up by the roller $2. Gives no row if the day was taken over. */
export function finishDaySql({ days }: DayTables): string {
  return `update ${days} set roller = null, rolled_to = null, rolled_up_at = now()
where day = $1::text::date and roller = $2::text::uuid returning stale`;
}

/** The roller $2 leaves the day $1 in the middle: anybody may go on at once. */
export function leaveDaySql({ days }: DayTables): string {
  return `update ${days} set bitten_at = '-infinity' where day = $1::text::date and roller = $2::text::uuid`;
}

/**
 * The days of a span that are not rolled up, or have rows that came later: their rows are still
 * needed. A day that was never looked at counts as one, and is rolled up next.
 */
export async function unsettledDays(database: Database, { days }: DayTables, { from, to }: Span): Promise<string[]> {
  await adoptDays(database, { days }, [{ from, to }]);
  const rows = await database.query<{ day: string }>(
    `select day::text as day from ${days} where day >= $1::text::date and day < $2::text::date and (${UNSETTLED}) order by 1`,
    [dayOf(from), dayOf(to + DAY - 1)],
  );
  return rows.map(({ day }) => day);
}

const DAY = 86_400_000;
/** Notes the days of these spans that nobody has noted yet, up to today: they may have rows. */
export async function adoptDays(
  database: Database,
  { days }: Pick<DayTables, "days">,
  spans: readonly Span[],
): Promise<void> {
  await database.query(
    `insert into ${days} (day)
     select g::date from unnest($1::date[], $2::date[]) s(first, last)
     cross join lateral generate_series(s.first::timestamp, least(s.last, current_date)::timestamp, interval '1 day') g
     where not exists (select from ${days} d where d.day = g::date) order by 1 on conflict do nothing`,
    [arrayText(spans.map(({ from }) => dayOf(from))), arrayText(spans.map(({ to }) => dayOf(to - 1)))],
  );
}

/** True if a day of a span is not rolled up, or has rows that came later, in SQL. */
export function unsettledSql({ days }: Pick<DayTables, "days">, { from, to }: Span): string {
  const since = Number.isFinite(from) ? `day >= '${dayOf(from)}' and ` : "";
  return `exists (select from ${days} where ${since}day < '${dayOf(to + DAY - 1)}' and (${UNSETTLED}))`;
}

/** The moment from which on days are not rolled up, in SQL; all rows, if no day is known. */
export function settledBeforeSql({ days }: Pick<DayTables, "days">): string {
  return `coalesce((select ${daySpanSql("min(day)").from} from ${days} where ${UNSETTLED}), '-infinity')`;
}
