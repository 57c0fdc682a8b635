import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import type { IncidentSettings } from "../../lib/config/settings.ts";
import type { TableName } from "../../lib/config/setting_types.ts";
import { encodeMetric, type Metric } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { type Entry, ReceivedEntry, type Store, type TopicIdentity } from "../../lib/postgres/store.ts";
import { metricWith } from "./metrics.ts";

/** The defaults. */
export const INCIDENT_RULES: IncidentSettings = { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 };
/** Within the current part of a new table, for as many minutes as a test wants. */
const START = Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth(), 1);
/** The time of a minute. */
export const at = (minute: number) => new Date(START + minute * 60_000).toISOString();
const bytes = new TextEncoder();

/** A check of a minute: up, or down by an error. */
export function checkOf(minute: number, isUp: boolean, fields: Partial<Metric> = {}): Partial<Metric> {
  return {
    address: "https://a.example",
    status_code: isUp ? 200 : null,
    latency: 0.25,
    is_valid: isUp,
    scheduled_at: at(minute),
    checked_at: at(minute),
    error: isUp ? null : "connect",
    error_detail: isUp ? null : `refused "at" ${minute}`,
    check_id: randomUUID(),
    location: "Oslo",
    next_at: at(minute + 1),
    up: isUp,
    ...fields,
  };
}

function entry(offset: number, document: Partial<Metric> | string): Entry {
  // Whole, so that it is copied, but for those with a quote in them.
  const value = bytes.encode(typeof document === "string" ? document : encodeMetric(metricWith(document)));
  return new ReceivedEntry({ partition: 0, offset, key: null, value, timestamp: START });
}

/** A topic of one partition, and who reads it. */
export class CheckLog {
  readonly entries: Entry[] = [];
  readonly identity: TopicIdentity = { topic: "metrics", topicId: randomUUID() };

  /** Writes checks, one a letter: u up, d down. */
  write(letters: string, from = this.entries.length): void {
    [...letters].forEach((letter, i) => this.add(checkOf(from + i, letter === "u")));
  }

  add(document: Partial<Metric> | string): void {
    this.entries.push(entry(this.entries.length, document));
  }

  /** Stores a stretch, as a consumer that reads it from there does. */
  async store(store: Store, start: number, next: number): Promise<void> {
    const ranges = new Map([[0, { start, next }]]);
    expect(await store.flush(this.identity, ranges, this.entries.slice(start, next))).toBe("stored");
  }
}

/** A row of the table of incidents. */
export interface IncidentRow {
  readonly [column: string]: unknown;
  readonly opened_at: Date;
  readonly confirmed_at: Date;
  readonly closed_at: Date | null;
}

/** The incidents in the table. */
export async function incidentsOf(database: Database, table: TableName): Promise<IncidentRow[]> {
  return await database.query<IncidentRow>(
    `select kind, address, opened_at, confirmed_at, closed_at,
       array_to_json(locations)::text as locations, error, error_detail, status_code,
       checks::int as checks from ${quoteTables(table).incidents} order by address, confirmed_at, kind`,
  );
}

/** The minute of a time. */
export const minuteOf = (time: Date) => (time.getTime() - START) / 60_000;

/** Each incident in few words: since when, confirmed when, until when, and how many checks failed. */
export async function told(database: Database, table: TableName): Promise<string[]> {
  return (await incidentsOf(database, table)).map(({ opened_at, confirmed_at, closed_at, checks }) => {
    const end = closed_at === null ? "" : minuteOf(closed_at);
    return `${minuteOf(opened_at)} ${minuteOf(confirmed_at)} ${end} (${checks})`;
  });
}
