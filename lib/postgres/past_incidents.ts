import type { Database } from "./database.ts";
import { REASON_OF_DETAIL_SQL, RowState } from "./host_state.ts";
import { arrayText } from "./pg_text.ts";
import type { Tables } from "./tables.ts";
import { viewQuery } from "./views.ts";

/** A time during which something was wrong with a host. */
export interface PastIncident {
  /** `silence`: no check of it was made. */
  readonly kind: "down" | "certificate" | "silence";
  readonly address: string;
  readonly opened_at: Date;
  /** Null while it lasts. */
  readonly closed_at: Date | null;
  /** Why it is down: of the first check that found it so. */
  readonly reason: string;
  /** The places that agreed. */
  readonly locations: readonly string[];
  /** How many checks were not up. */
  readonly checks: number;
}

/**
 * The incidents of some addresses in so many days, the newest first. All that tells of incidents
 * asks here. Where there is no table of incidents they are read off the rows of these days: one that
 * began earlier begins there, and each check that was not up is one.
 */
export async function readPastIncidents(
  database: Database,
  tables: Tables,
  addresses: readonly string[],
  days: number,
): Promise<PastIncident[]> {
  if (addresses.length === 0) return [];
  const query = tables.hasIncidents ? storedSql(tables, days) : derivedSql(tables, days);
  const rows = await database.query<Omit<PastIncident, "locations"> & { readonly locations: string }>(
    `select kind, address, opened_at, closed_at, reason, array_to_json(locations)::text as locations, checks
     from (${query}) i order by opened_at desc, address, kind limit ${MOST}`,
    [arrayText(addresses)],
  );
  return rows.map((row) => ({ ...row, locations: JSON.parse(row.locations) as string[] }));
}

/** The latest addresses with an incident within some days, the latest first. */
export async function readTroubled(database: Database, tables: Tables, days: number, most: number): Promise<string[]> {
  if (!tables.hasIncidents && !tables.hasDays) return [];
  const query = tables.hasIncidents
    ? `select address, max(coalesce(closed_at, now())) as latest from ${tables.incidents}
       where ${withinSql(days)} group by address`
    : `select address, max(day) as latest from ${tables.daily} where day >= current_date - ${days} and down > 0
       group by address`;
  const rows = await database.query<{ address: string }>(
    `select address from (${query}) t order by latest desc, address limit ${most}`,
  );
  return rows.map(({ address }) => address);
}

const MOST = 1000;

const withinSql = (days: number) => `(closed_at is null or closed_at > now() - ${days} * interval '1 day')`;

function storedSql({ incidents }: Tables, days: number): string {
  return `select kind, address, opened_at, closed_at, ${REASON_OF_DETAIL_SQL} as reason, locations, checks::int as checks
    from ${incidents} where address = any($1::text[]) and ${withinSql(days)}`;
}

function derivedSql(tables: Tables, days: number): string {
  const { time } = new RowState(tables.columns);
  const source = `(select m.* from unnest($1::text[]) a(address) cross join lateral (
    select * from ${tables.main} m where m.address = a.address and m.${time} > now() - ${days} * interval '1 day' offset 0
  ) m) m`;
  const view = viewQuery(tables, "outages", tables.columns, { ...tables, hasDays: false, source });
  return `select 'down' as kind, address, started_at as opened_at, ended_at as closed_at, reason, array[]::text[] as locations,
    checks::int as checks from (${view}) o`;
}
