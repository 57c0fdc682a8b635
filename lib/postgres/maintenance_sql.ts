import { quoteLiteral } from "./pg_text.ts";
import type { QuotedTables } from "./schema.ts";

// Times in which people work at sites, in SQL. lib/postgres/incidents/maintenance.ts says the same;
// tests/postgres/incidents/maintenance.test.ts shows it.

/** The characters of a pattern, and what LIKE writes for them: the first ones come first. */
const LIKE: readonly (readonly [string, string])[] = [
  ["\\", "\\\\"],
  ["%", "\\%"],
  ["_", "\\_"],
  ["*", "%"],
  ["?", "_"],
];

/** The rows of the table of maintenance, as `w`, that hold for an address at a time. */
export function windowsSql({ maintenance }: Pick<QuotedTables, "maintenance">, address: string, at: string): string {
  const pattern = LIKE.reduce(
    (text, [from, to]) => `replace(${text}, ${quoteLiteral(from)}, ${quoteLiteral(to)})`,
    "w.address",
  );
  return `${maintenance} w where w.starts_at <= ${at} and ${at} < w.ends_at and ${address} like ${pattern}`;
}

/** True if an address is being worked at. */
export function inMaintenanceSql(tables: Pick<QuotedTables, "maintenance">, address: string, at: string): string {
  return `exists (select from ${windowsSql(tables, address, at)})`;
}
