import type { Database } from "./database.ts";
import { RowState } from "./host_state.ts";
import { arrayText } from "./pg_text.ts";
import type { Tables } from "./tables.ts";
import { viewQuery } from "./views.ts";

/** A time during which a host was down. */
export interface PastIncident {
  readonly address: string;
  readonly opened_at: Date;
  /** Null while it lasts. */
  readonly closed_at: Date | null;
  /** Of the first check that found the host down. */
  readonly reason: string;
  /** How many checks found it down. */
  readonly checks: number;
}

/**
 * The incidents of some addresses, the newest first. They are read off the rows of so many days:
 * one that began earlier begins there. All that tells of incidents asks here.
 */
export async function readPastIncidents(
  database: Database,
  tables: Tables,
  addresses: readonly string[],
  days: number,
): Promise<PastIncident[]> {
  if (addresses.length === 0) return [];
  const { time } = new RowState(tables.columns);
  const source = `(select m.* from unnest($1::text[]) a(address) cross join lateral (
    select * from ${tables.main} m where m.address = a.address and m.${time} > now() - ${days} * interval '1 day' offset 0
  ) m) checked`;
  const view = viewQuery(tables, "outages", tables.columns, { hasDays: false, source });
  return await database.query<PastIncident>(
    `select address, started_at as opened_at, ended_at as closed_at, reason, checks::int as checks
     from (${view}) o order by started_at desc, address limit ${MOST}`,
    [arrayText(addresses)],
  );
}

const MOST = 1000;
