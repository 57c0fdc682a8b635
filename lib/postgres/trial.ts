import { randomUUID } from "node:crypto";
import type { Metric } from "../metric.ts";
import { classifyError, type Database, sqlFailure } from "./database.ts";
import { base64 } from "./pg_text.ts";
import { COLUMNS } from "./schema.ts";
import type { Tables } from "./tables.ts";

// Trials find out what would become of a row. Nothing of them is kept. Each throws a failure that
// waiting can mend.

/** True if the table takes a metric like this one. */
export async function takesMetric(database: Database, tables: Tables, metric: Partial<Metric>): Promise<boolean> {
  // With an id of its own: the metric may be there already.
  const row = {
    ...metric,
    check_id: randomUUID(),
    status_code: metric.status_code ?? (tables.statusCodeRequired ? 0 : null),
  };
  return await passes(database, insertionOf(row, tables));
}

/**
 * True if the table takes a copy of a row that it holds. False if it holds none, or may not be
 * read.
 */
export async function takesCopy(database: Database, tables: Tables): Promise<boolean> {
  return await holdsRows(database, tables) && await passes(database, copySql(tables));
}

/** A made-up metric. Nothing about it is special: whatever refuses it refuses most metrics. */
export function ordinaryMetric(location: string | null): Partial<Metric> {
  const now = new Date().toISOString();
  return {
    address: "https://www.host-checker.invalid/health",
    status_code: 200,
    latency: 0.123456,
    is_valid: true,
    scheduled_at: now,
    checked_at: now,
    latency_dns: 0.01,
    latency_connect: 0.02,
    latency_tls: 0.03,
    latency_first_byte: 0.05,
    latency_body: 0.013456,
    location,
  };
}

/** Fields without a value are left out: a default applies then, as it would for a metric. */
function insertionOf(metric: Partial<Metric>, { main, columns }: Tables): string {
  const given = columns.filter((field) => metric[field] != null);
  const values = given.map((field) => `${literal(textOf(metric[field]))}::${COLUMNS[field].type}`);
  return `insert into ${main} (${given.join(", ")}) values (${values.join(", ")})`;
}

function textOf(value: Metric[keyof Metric] | undefined): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Base64 has no character that could end the literal, whatever the settings of the server. */
function literal(text: string): string {
  return `convert_from(decode('${base64(new TextEncoder().encode(text))}', 'base64'), 'UTF8')`;
}

/** With an id of its own: the row itself is there already. */
function copySql({ main, columns }: Tables): string {
  const values = columns.map((field) => field === "check_id" ? `'${randomUUID()}'` : field);
  return `insert into ${main} (${columns.join(", ")}) select ${values.join(", ")} from ${main} limit 1`;
}

/** True if the table holds rows. False also if the role may not read it. */
async function holdsRows(database: Database, { main }: Tables): Promise<boolean> {
  try {
    const [row] = await database.query<{ holds: boolean }>(`select exists (select from ${main}) as holds`);
    return row?.holds === true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

/**
 * True if the server carries out the statement, which is undone in any case. The statements of a
 * script are one transaction, and the last one fails on purpose. So no connection can break in
 * between and leave the trial behind.
 */
async function passes(database: Database, statement: string): Promise<boolean> {
  const end = `host-checker undoes a trial (${randomUUID()})`;
  try {
    await database.script(`${statement};\nset constraints all immediate;\nselect '${end}'::integer`);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return (error as Error).message.includes(end);
  }
  throw new TypeError("A trial that had to fail did not");
}

/** True if the server has looked at a statement and refuses it. Waiting would not mend it. */
export function isRefusal(error: unknown): boolean {
  return sqlFailure(error) !== null && classifyError(error) !== "wait";
}
