import { quoteLiteral } from "./pg_text.ts";

// Times in which people work at sites, in SQL. lib/postgres/incidents/maintenance.ts says the same;
// tests/postgres/incidents/maintenance.test.ts shows it.

/** The table of the times in which people work at sites, quoted. */
export interface MaintenanceTable {
  readonly maintenance: string;
}

/** The characters of a pattern, and what LIKE writes for them: the first ones come first. */
const LIKE: readonly (readonly [string, string])[] = [
  ["\\", "\\\\"],
  ["%", "\\%"],
  ["_", "\\_"],
  ["*", "%"],
  ["?", "_"],
];

/** A pattern for an address, as LIKE reads it. */
export function patternSql(pattern: string): string {
  return LIKE.reduce(
    (text, [from, to]) => `replace(${text}, ${quoteLiteral(from)}, ${quoteLiteral(to)})`,
    pattern,
  );
}

/** The times that hold now: the `pattern` for LIKE, the end and the note of each. */
export function currentWindowsSql({ maintenance }: MaintenanceTable): string {
  return `select ${patternSql("w.address")} as pattern, w.ends_at, w.note
  from ${maintenance} w where w.starts_at <= now() and now() < w.ends_at`;
}

/**
 * All times of the table. Until it is analyzed, the planner takes it for one of ten pages, to be read
 * for each check: that alone would make it compile a view. Of a limit that it does not know it
 * expects a tenth.
 */
const timesSql = ({ maintenance }: MaintenanceTable) =>
  `select * from ${maintenance} limit (select count(*) from ${maintenance})`;

const existsSql = (times: string, address: string, at: string) =>
  `exists (select from ${times} w
    where w.starts_at <= ${at} and ${at} < w.ends_at and ${address} like ${patternSql("w.address")})`;

/** True if an address is being worked at. */
export function inMaintenanceSql(table: MaintenanceTable, address: string, at: string): string {
  return existsSql(`(${timesSql(table)})`, address, at);
}

/** A query of `with` that reads the times once, for `inWindowsSql`: cheap for thousands of rows. */
export function windowsSql(table: MaintenanceTable): string {
  return `windows as materialized (${timesSql(table)})`;
}

/** True if an address is being worked at by one of the times of `windowsSql`. */
export function inWindowsSql(address: string, at: string): string {
  return existsSql("windows", address, at);
}

/** The table of the maintenance, where it is there and may be read. */
export function maintenanceOf(
  { maintenance, hasMaintenance }: MaintenanceTable & { readonly hasMaintenance: boolean },
): MaintenanceTable | null {
  return hasMaintenance ? { maintenance } : null;
}
