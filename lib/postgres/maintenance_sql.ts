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
 * True if an address is being worked at.
 *
 * Until it is analyzed, the planner takes the table for one of ten pages, to be read for each check:
 * that alone would make it compile a view. Of a limit that it does not know it expects a tenth.
 */
export function inMaintenanceSql({ maintenance }: MaintenanceTable, address: string, at: string): string {
  return `exists (select from (select * from ${maintenance} limit (select count(*) from ${maintenance})) w
    where w.starts_at <= ${at} and ${at} < w.ends_at and ${address} like ${patternSql("w.address")})`;
}

/** The table of the maintenance, where it is there and may be read. */
export function maintenanceOf(
  { maintenance, hasMaintenance }: MaintenanceTable & { readonly hasMaintenance: boolean },
): MaintenanceTable | null {
  return hasMaintenance ? { maintenance } : null;
}
