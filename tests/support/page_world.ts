import { DAILY_COLUMNS } from "../../lib/postgres/daily_sql.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { Store } from "../../lib/postgres/store.ts";
import { makePart } from "./parts.ts";

/** A table for the page: hosts with a past, of which some are down. */
export interface PageWorld {
  readonly table: { readonly schema: string | null; readonly name: string };
  readonly hosts: number;
  /** Days that are rolled up. */
  readonly days: number;
  /** Seconds between two checks of a host. */
  readonly interval: number;
}

/**
 * Fills a new table. Of 40 hosts one is down for 50 minutes now, and one is stale; every seventh had bad
 * days, and every eleventh is known for 30 days only. Rows reach back to the beginning of yesterday. No
 * other host becomes stale within an hour, however long a test takes.
 */
export async function fillPageWorld(database: Database, { table, hosts, days, interval }: PageWorld): Promise<Store> {
  const store = await Store.open(database, table);
  await makePart(database, table, Date.now() - 86_400_000);
  const name = table.name;
  await database.query(`insert into ${name} (address, status_code, latency, is_valid, scheduled_at, checked_at, error,
      error_detail, latency_dns, latency_connect, latency_tls, latency_first_byte, latency_body, tls_expires_at, check_id,
      up, next_at, producer)
    select address, case when bad then null else 200 end, case when bad then 10 else latency end, not bad, due,
      due + interval '3 ms', case when bad then 'connect' end, case when bad then 'connection refused' end, latency * 0.1,
      case when bad then 9.9 else latency * 0.2 end, case when not bad then latency * 0.25 end,
      case when not bad then latency * 0.3 end, case when not bad then latency * 0.15 end,
      now() + (5 + n % 80) * interval '1 day', gen_random_uuid(), not bad, due + interval '${interval} seconds' + interval '1 hour', 'checker-1'
    from (
      select n, ${addressSql("n")} as address, due,
        0.04 + (n % 17) * 0.02 + 0.03 * (1 + sin(extract(epoch from due) / 9000 + n)) + (n * 31 % 7) * 0.004 as latency,
        n % 40 = 7 and due > now() - interval '50 minutes' or n % 7 = 3 and due between now() - interval '9 hours' and now() - interval '8 hours' as bad
      from generate_series(0, ${hosts - 1}) n
      cross join lateral generate_series(date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - interval '1 day'
        + (n % ${interval}) * interval '1 second',
        now() - case when n % 40 = 19 then interval '3 hours' else interval '0' end, interval '${interval} seconds') due
    ) g`);
  const columns = Object.keys(DAILY_COLUMNS);
  const values: Readonly<Record<string, string>> = {
    address: addressSql("n"),
    location: "''",
    day: "day",
    checks: "288",
    up: "288 - bad",
    down: "bad",
    seconds_down: "bad * 300.0",
    longest_outage: "bad * interval '5 minutes'",
    latency_p50: "0.1",
    latency_p95: "0.2",
    latency_p99: "0.3",
    latency_max: "0.5",
    latency_from: "70",
    latency_counts: "'{288}'",
    tls_expires_at: "now() + interval '60 days'",
  };
  await database.query(`insert into ${name}_daily (${columns.join(", ")})
    select ${columns.map((column) => values[column] ?? "0").join(", ")} from (
      select n, day, case when n % 7 = 3 and day_number * 13 % 29 = n % 29 then 6 + n % 120 when n % 13 = 5 and day_number % 41 = 3 then 2 else 0 end as bad
      from generate_series(0, ${hosts - 1}) n
      cross join lateral (select (now() at time zone 'UTC')::date - g as day, g as day_number
        from generate_series(1, case when n % 11 = 6 then 30 else ${days} end) g where n % 17 <> 4 or g not between 20 and 26) d
    ) g on conflict do nothing`);
  await database.query(`insert into ${name}_days (day, stale, rolled_up_at)
    select (now() at time zone 'UTC')::date - g, g = 0, case when g > 0 then now() end from generate_series(0, ${days}) g
    on conflict (day) do update set stale = excluded.stale, rolled_up_at = excluded.rolled_up_at`);
  return store;
}

/** The address of a host by its number. */
function addressSql(n: string): string {
  return `'https://' || (array['shop','api','www','login','status','docs','cdn','mail'])[${n} % 8 + 1] || '.' ||
    (array['example.com','example.org','example.net'])[${n} / 8 % 3 + 1] || case when ${n} < 24 then '' else '/page/' || ${n} end`;
}
