import type { IncidentSettings } from "../../config/settings.ts";
import type { Database } from "../database.ts";
import { detailOf, upSql } from "../host_state.ts";
import { inMaintenanceSql } from "../maintenance_sql.ts";
import { arrayText, millisecondsSql } from "../pg_text.ts";
import type { Tables } from "../tables.ts";
import {
  type AddressState,
  type CheckedKind,
  type FailedCheck,
  type Observation,
  observe,
  type OpenIncident,
  type Place,
  UNKNOWN_ADDRESS,
  UNTOLD,
  type Witness,
} from "./rules.ts";

// What is known of an address when it first comes by: its newest checks and its open incidents.

/** Checks of an address that are read first, and where these do not tell enough. */
const FEW = 16;
const MANY = 512;

interface HistoryRow {
  readonly address: string;
  /** JSON: the newest checks, oldest first; null: there is none. */
  readonly checks: string | null;
  /** JSON: the open incidents; null: there is none. */
  readonly incidents: string | null;
}

/** Location, due time, up, removed, next due time, expiry, error, its detail, status, page as it should be. */
type CheckRow = readonly [
  string | null,
  number,
  boolean,
  boolean,
  number | null,
  number | null,
  string | null,
  string | null,
  number | null,
  boolean,
];

/** Kind, opened, confirmed, places, checks, and how many failed between it and the oldest one here. */
type IncidentRow = readonly [CheckedKind, number, number, readonly string[], number, number];

/** Finds out what the table tells of addresses. It takes one statement or, for a few of them, two. */
export async function readHistory(
  database: Database,
  tables: Tables,
  rules: IncidentSettings,
  addresses: readonly string[],
  witness: Witness | null = null,
): Promise<Map<string, AddressState>> {
  const few = Math.max(FEW, 2 * Math.max(rules.downAfter, rules.upAfter));
  const many = Math.max(MANY, few);
  // With several places to agree, one that is checked from seldom must be found too.
  const first = rules.places === 1 ? few : many;
  const states = new Map<string, AddressState>();
  const unclear: string[] = [];
  for (const row of await query(database, tables, addresses, first)) {
    const checks = checksOf(row);
    if (first < many && checks.length >= first && !isClear(checks)) unclear.push(row.address);
    else states.set(row.address, stateFrom(rules, row, checks, witness));
  }
  if (unclear.length > 0) {
    for (const row of await query(database, tables, unclear, many)) {
      states.set(row.address, stateFrom(rules, row, checksOf(row), witness));
    }
  }
  return states;
}

/** True if a few checks tell enough: all of one place, which were all up. */
function isClear(checks: readonly Observation[]): boolean {
  return checks.every(({ verdict, location }) => verdict === "up" && location === checks[0]?.location);
}

async function query(
  database: Database,
  tables: Tables,
  addresses: readonly string[],
  most: number,
): Promise<HistoryRow[]> {
  // Without an index by which an address is found, its checks are not read.
  const parameters = [arrayText(addresses), ...tables.repeatKey === null ? [] : [String(most)]];
  return await database.query<HistoryRow>(historySql(tables), parameters);
}

const milliseconds = (time: string) => `round(${millisecondsSql(time)})::int8`;

/** The newest $2 checks of each of the addresses $1, if an index finds them, and their open incidents. */
function historySql(tables: Tables): string {
  const { main, incidents, columns, repeatKey } = tables;
  const has = (name: typeof columns[number]) => columns.includes(name);
  const optional = (name: typeof columns[number], type: string) => has(name) ? `m.${name}` : `null::${type}`;
  const up = upSql({ error: true, up: has("up") });
  const due = "coalesce(m.scheduled_at, m.checked_at)";
  const told = `m.error is distinct from 'missed' and
      (${up} or m.error is not distinct from 'removed' or not ${inMaintenanceSql(tables, "m.address", due)})`;
  const checks = repeatKey === null ? "select null::text as checks, null::timestamptz as oldest" : `
  select json_agg(json_build_array(r.location, ${milliseconds("r.due")}, r.up, r.removed, ${
    millisecondsSql("r.next_at")
  },
      ${milliseconds("r.expires_at")}, r.error, r.detail, r.status_code, r.is_valid) order by r.due)::text as checks,
    min(r.due) as oldest
  from (
    select m.location::text as location, ${due}::timestamptz as due, ${up} as up,
      m.error is not distinct from 'removed' as removed, ${optional("next_at", "timestamptz")} as next_at,
      ${optional("tls_expires_at", "timestamptz")} as expires_at, m.error::text as error,
      ${optional("error_detail", "text")} as detail, m.status_code::int as status_code, m.is_valid
    from ${main} m where m.address = a.address and ${told} order by m.${repeatKey} desc limit $2::text::int
  ) r where isfinite(r.due)`;
  const between = repeatKey === null ? "0" : `(select count(*) from ${main} m
    where m.address = a.address and ${told} and m.error is distinct from 'removed' and not (${up})
      and m.${repeatKey} > i.confirmed_at and ${due} < h.oldest)`;
  return `select a.address, h.checks, o.incidents
from unnest($1::text[]) a(address)
cross join lateral (${checks}) h
cross join lateral (
  select json_agg(json_build_array(i.kind, ${milliseconds("i.opened_at")}, ${milliseconds("i.confirmed_at")},
    i.locations, i.checks, case i.kind when 'down' then ${between} else 0 end))::text as incidents
  from ${incidents} i where i.address = a.address and i.closed_at is null and i.kind in ('down', 'certificate')
) o`;
}

function checksOf({ address, checks }: HistoryRow): Observation[] {
  const rows = checks === null ? [] : JSON.parse(checks) as CheckRow[];
  return rows.map(([location, due, up, removed, next, expires, error, error_detail, status_code, is_valid]) => ({
    partition: 0,
    offset: 0,
    address,
    location,
    due,
    verdict: removed ? "removed" : up ? "up" : "down",
    nextAt: next ?? UNTOLD,
    tlsExpiresAt: expires ?? UNTOLD,
    failure: (): FailedCheck => ({
      error,
      errorDetail: detailOf({ error, error_detail, status_code, is_valid }),
      statusCode: status_code,
    }),
  }));
}

/** An incident that stands open in the table. */
interface StoredIncident extends OpenIncident {
  readonly kind: CheckedKind;
  readonly confirmedAt: number;
  readonly locations: readonly (string | null)[];
}

function incidentsOf({ incidents }: HistoryRow): StoredIncident[] {
  const rows = incidents === null ? [] : JSON.parse(incidents) as IncidentRow[];
  return rows.map(([kind, opened, confirmed, locations, checks, between]) => ({
    kind,
    openedAt: opened,
    confirmedAt: confirmed,
    locations: locations.length > 0 ? locations : [null],
    checks: checks + between,
  }));
}

/**
 * The state after these checks. What is open the table knows: it changes with the rows, in one
 * statement. What each place says follows from its own checks, whose order is known.
 */
function stateFrom(
  rules: IncidentSettings,
  row: HistoryRow,
  checks: readonly Observation[],
  witness: Witness | null,
): AddressState {
  const stored = incidentsOf(row);
  const oldest = checks[0]?.due ?? Infinity;
  let { places }: Pick<AddressState, "places"> = { places: placesBefore(stored, oldest) };
  for (const check of checks) places = observe(rules, { ...UNKNOWN_ADDRESS, places }, check, [], false, witness).places;
  const open = (kind: CheckedKind): OpenIncident | null => {
    const incident = stored.find((each) => each.kind === kind);
    if (incident === undefined) return null;
    const since = checks.filter(({ due, verdict }) => verdict === "down" && due > incident.confirmedAt).length;
    return { openedAt: incident.openedAt, checks: incident.checks + (kind === "down" ? since : 0) };
  };
  return { places, down: open("down"), certificate: open("certificate") };
}

/** What places said before the oldest check that was read, as an older incident tells it. */
function placesBefore(stored: readonly StoredIncident[], oldest: number): Place[] {
  const incident = stored.find(({ kind, openedAt }) => kind === "down" && openedAt < oldest);
  if (incident === undefined) return [];
  const { openedAt, locations } = incident;
  const first: FailedCheck = { error: null, errorDetail: null, statusCode: null };
  return locations.map((location) => ({
    location,
    newest: openedAt,
    nextAt: UNTOLD,
    isGone: false,
    outage: { since: openedAt, first, failed: 0 },
    contradiction: null,
    certificate: null,
  }));
}
