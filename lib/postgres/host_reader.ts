import type { Database } from "./database.ts";
import { type EvidenceRow, readEvidence } from "./evidence.ts";
import type { Metric } from "../metric.ts";
import { errorSql, RowState } from "./host_state.ts";
import { inMaintenanceSql, maintenanceOf, type MaintenanceTable } from "./maintenance_sql.ts";
import { type PastIncident, readPastIncidents, readTroubled } from "./past_incidents.ts";
import { dayOf } from "./part_spans.ts";
import { arrayText } from "./pg_text.ts";
import type { Tables } from "./tables.ts";
import { viewQuery } from "./views.ts";

export type { EvidenceRow } from "./evidence.ts";
export { dayOf } from "./part_spans.ts";

/** What is known of a host now: its newest check, and what that says. */
export interface HostNow {
  readonly address: string;
  readonly state: "up" | "down" | "stale" | "maintenance";
  /** Why it is not up; null where it is. */
  readonly reason: string | null;
  readonly status_code: number | null;
  readonly latency: number;
  readonly checked_at: Date;
  readonly next_at: Date | null;
  readonly location: string | null;
  readonly certificate_days_left: number | null;
  /** In maintenance: until when; null: nobody has said, or it is not. */
  readonly maintenance_until: Date | null;
  readonly maintenance_note: string | null;
}

/** Checks of a span of time that were up or down, counted. Missed ones count in `missed` alone. */
export interface Tally {
  readonly checks: number;
  readonly up: number;
  readonly missed: number;
}

/** The checks of an address on a day (UTC), as YYYY-MM-DD. */
export interface DayTally extends Tally {
  readonly address: string;
  readonly day: string;
}

/** The checks of an address in a span of time. */
export interface SpanTally extends Tally {
  readonly address: string;
  readonly from: Date;
  /** Seconds, on average of what answered; null: nothing did. */
  readonly latency: number | null;
}

/** The phases of a check, in their order. */
export const LATENCY_PHASES = ["dns", "connect", "tls", "first_byte", "body"] as const;
export type LatencyPhase = typeof LATENCY_PHASES[number];

/** As `SpanTally`, with the seconds that each phase took on average. */
export type PhaseTally = SpanTally & Readonly<Record<LatencyPhase, number | null>>;

/** One row of the table. `up` is null where no check was made. */
export interface CheckRow {
  readonly checked_at: Date;
  readonly up: boolean | null;
  readonly reason: string | null;
  readonly status_code: number | null;
  readonly latency: number;
  readonly location: string | null;
}

/** How far back the days go that the page shows. */
export const DAYS_SHOWN = 90;

/** Seconds of a span: half an hour, and half a day. */
export const SHORT_SPAN = 1800;
export const LONG_SPAN = 43_200;

/**
 * Reads what a page tells of hosts. Each statement reads as many rows as its answer needs: of few
 * addresses, or of the days that are rolled up.
 */
export class HostReader {
  readonly #database: Database;
  readonly #tables: () => Tables;
  readonly #unknownPlaces: () => readonly (string | null)[];

  /** `unknownPlaces` tells the places whose canaries are all down. */
  constructor(
    database: Database,
    tables: () => Tables,
    unknownPlaces: () => readonly (string | null)[] = () => [],
  ) {
    this.#database = database;
    this.#tables = tables;
    this.#unknownPlaces = unknownPlaces;
  }

  /** The places of which nothing is known now: all their canaries are down. */
  get unknownPlaces(): readonly (string | null)[] {
    return this.#unknownPlaces();
  }

  /** Every host that is checked, in the order of the addresses. */
  async now(): Promise<HostNow[]> {
    const tables = this.#tables();
    const view = viewQuery(tables, "now", tables.columns, tables);
    return await this.#database.query<HostNow>(
      `select address, state, reason, status_code::int as status_code, latency::float8 as latency, checked_at, next_at,
         location, certificate_days_left, 
         case when isfinite(maintenance_until) then maintenance_until end as maintenance_until, maintenance_note
       from (${view}) n order by address collate "C"`,
    );
  }

  /**
   * The days of some addresses that are rolled up, and the spans of the last 24 hours and of every
   * day that is not rolled up yet.
   */
  async history(addresses: readonly string[]): Promise<{ days: DayTally[]; spans: SpanTally[] }> {
    const { daily, days, hasDays } = this.#tables();
    if (!hasDays) {
      const spans = await this.#spans(addresses, `${FIRST_DAY} + 1`);
      return { days: daysOf(spans), spans };
    }
    const rolledUp = await this.#database.query<DayTally>(
      `select d.address, d.day::text as day, sum(d.up + d.down)::int as checks, sum(d.up)::int as up,
         sum(d.missed)::int as missed
       from ${daily} d join ${days} u on u.day = d.day
       where u.rolled_up_at is not null and d.address = any($1::text[]) and d.day > ${FIRST_DAY} group by 1, 2`,
      [arrayText(addresses)],
    );
    const first = `least((now() - interval '1 day') at time zone 'UTC', (select min(u.day) from ${days} u
      where u.rolled_up_at is null and u.day > ${FIRST_DAY})::timestamp)`;
    const spans = await this.#spans(addresses, first);
    const known = new Set(rolledUp.map(({ address, day }) => `${day} ${address}`));
    // A day that is rolled up counts once; its spans may be of the last 24 hours.
    const unknown = spans.filter(({ address, from }) => !known.has(`${dayOf(from)} ${address}`));
    return { days: [...rolledUp, ...daysOf(unknown)], spans };
  }

  /** Spans of half an hour from a moment on, which is an expression in UTC without a zone. */
  async #spans(addresses: readonly string[], from: string): Promise<SpanTally[]> {
    const { main } = this.#tables();
    const facts = this.#facts();
    return await this.#database.query<SpanTally>(
      `select m.address, ${facts.span(SHORT_SPAN)} as from, ${facts.tally}
       from unnest($1::text[]) a(address) cross join lateral (
         select * from ${main} m where m.address = a.address and m.${facts.time} >= (${from})::timestamp at time zone 'UTC' offset 0
       ) m group by 1, 2 order by 1, 2`,
      [arrayText(addresses)],
    );
  }

  /** The spans of an address, so many seconds each, over the last `seconds`. */
  async phases(address: string, span: number, seconds: number): Promise<PhaseTally[]> {
    const { main } = this.#tables();
    const facts = this.#facts();
    return await this.#database.query<PhaseTally>(
      `select m.address, ${facts.span(span)} as from, ${facts.tally}, ${facts.phases} from ${main} m
       where m.address = $1::text and m.${facts.time} >= now() - ${seconds} * interval '1 second'
       group by 1, 2 order by 2`,
      [address],
    );
  }

  /** The newest rows of an address, missed checks too. */
  async checks(address: string, most: number): Promise<CheckRow[]> {
    const { main } = this.#tables();
    const facts = this.#facts();
    return await this.#database.query<CheckRow>(
      `select checked_at, case when ${facts.made} then ${facts.up} end as up, ${facts.why} as reason,
         status_code::int as status_code, latency::float8 as latency, ${facts.location} as location
       from ${main} where address = $1::text order by ${facts.time} desc limit ${most}`,
      [address],
    );
  }

  /** What an address answered when its checks failed, the newest first. */
  async evidence(address: string, most: number): Promise<EvidenceRow[]> {
    return await readEvidence(this.#database, this.#tables(), address, most);
  }

  /** Incidents, the newest first. See `readPastIncidents`. */
  async incidents(addresses: readonly string[], days: number): Promise<PastIncident[]> {
    return await readPastIncidents(this.#database, this.#tables(), addresses, days);
  }

  /** The addresses with incidents within some days, the latest first. See `readTroubled`. */
  async troubled(days: number, most: number): Promise<string[]> {
    return await readTroubled(this.#database, this.#tables(), days, most);
  }

  #facts(): CountedRows {
    const tables = this.#tables();
    return new CountedRows(tables.columns, maintenanceOf(tables));
  }
}

/** The day before the first that is shown. */
const FIRST_DAY = `(now() at time zone 'UTC')::date - ${DAYS_SHOWN}`;

/** Adds up spans to days. */
function daysOf(spans: readonly SpanTally[]): DayTally[] {
  const days = Map.groupBy(spans, ({ address, from }) => `${dayOf(from)} ${address}`);
  return [...days].map(([key, spans]) => ({ address: key.slice(11), day: key.slice(0, 10), ...addUp(spans) }));
}

/** Tallies of several spans as one. */
export function addUp(tallies: Iterable<Tally>): Tally {
  let [checks, up, missed] = [0, 0, 0];
  for (const tally of tallies) {
    checks += tally.checks;
    up += tally.up;
    missed += tally.missed;
  }
  return { checks, up, missed };
}

/** Expressions over the rows, named `m`, that a page counts. */
class CountedRows extends RowState {
  readonly #maintenance: MaintenanceTable | null;

  constructor(columns: Iterable<keyof Metric>, maintenance: MaintenanceTable | null) {
    super(columns);
    this.#maintenance = maintenance;
  }

  get missed(): string {
    return this.optional.error ? "error is not distinct from 'missed'" : "false";
  }

  /** Why a host is down, or why there was no check. */
  get why(): string {
    if (!this.optional.error) return this.reason;
    return `case when ${this.made} then ${this.reason} else ${errorSql(this.optional)} end`;
  }

  get location(): string {
    return this.columns.has("location") ? "location" : "null::text";
  }

  /** The beginning of a row's span of so many seconds. */
  span(seconds: number): string {
    return `date_bin(interval '${seconds} seconds', m.${this.time}, timestamptz '2000-01-01Z')`;
  }

  get tally(): string {
    return `count(*) filter (where ${this.made} and ${this.#counts})::int as checks, count(*) filter (where ${this.made} and ${this.up})::int as up,
      count(*) filter (where ${this.missed})::int as missed, avg(latency) filter (where ${this.#answered})::float8 as latency`;
  }

  get phases(): string {
    return LATENCY_PHASES.map((phase) => {
      const column = `latency_${phase}` as const;
      if (!this.columns.has(column)) return `null::float8 as ${phase}`;
      return `avg(coalesce(${column}, 0)) filter (where ${this.#answered})::float8 as ${phase}`;
    }).join(", ");
  }

  /** Leaves out checks that were not up, of addresses that were worked at. */
  get #counts(): string {
    if (this.#maintenance === null) return "true";
    return `(${this.up} or not ${inMaintenanceSql(this.#maintenance, "m.address", `m.${this.time}`)})`;
  }

  get #answered(): string {
    return `${this.made} and status_code > 0`;
  }
}
