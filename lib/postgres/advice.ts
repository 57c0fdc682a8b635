import type { Metric } from "../metric.ts";
import type { OddTable, RepeatIndexes, RepeatKey, TableFacts } from "./catalog.ts";
import type { QuotedTables } from "./schema.ts";

/** The most names in a message. Of more parts the message gives the number. */
const MOST_NAMES = 3;

/**
 * Warnings of tables that a crash empties or that stand on another server: one line for each kind
 * and table.
 */
export function oddTableWarnings(odd: readonly OddTable[], tables: QuotedTables): string[] {
  const of = (root: OddTable["root"], what: OddTable["what"]) =>
    odd.filter((table) => table.root === root && table.what === what).map(({ name }) => name);
  const roots = ["main", "offsets", "rejected"] as const;
  return [
    ...unloggedWarnings(
      { main: of("main", "unlogged"), rejected: of("rejected", "unlogged") },
      of("offsets", "unlogged"),
      tables,
    ),
    ...roots.flatMap((root) => foreignWarning(root, of(root, "foreign"), tables)),
  ];
}

function unloggedWarnings(
  rows: Readonly<Record<"main" | "rejected", readonly string[]>>,
  marks: readonly string[],
  { main, offsets, rejected }: QuotedTables,
): string[] {
  if (marks.length === 0) {
    const emptied = [...rows.main, ...rows.rejected];
    return emptied.length === 0 ? [] : [
      `${
        listed(emptied)
      } unlogged: a crash of the server, or a switch to a standby, empties what is unlogged and leaves ` +
      `the marks in ${offsets}, so that its rows are lost; ${setLogged(emptied)}`,
    ];
  }
  const together = rows.main.length > 0 && rows.rejected.length > 0;
  const effect = together
    ? `rows and marks: what Kafka still has is loaded again, what is older is lost`
    : `the marks and leaves rows in ${main} or ${rejected}: what Kafka still has is loaded again, and stored twice ` +
      `where check_id does not tell`;
  const all = [...marks, ...rows.main, ...rows.rejected];
  return [
    `${listed(all)} unlogged: a crash of the server, or a switch to a standby, empties ${effect}; ${setLogged(all)}`,
  ];
}

function foreignWarning(root: OddTable["root"], names: readonly string[], tables: QuotedTables): string[] {
  if (names.length === 0) return [];
  const other = root === "offsets" ? `the rows of ${tables.main}` : `the marks in ${tables.offsets}`;
  return [
    `${
      listed(names)
    } on another server: what is written there and ${other} are not committed as one, so that a failure in ` +
    `between stores metrics twice, or loses them where the other side cannot roll back; a metric that was sent twice is not ` +
    `recognised there; connect to the server that has the rows (DB_HOST), with all three tables on it`,
  ];
}

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  if (more > 0) return `${names.slice(0, MOST_NAMES).join(", ")} and ${more} more are`;
  return `${names.join(", ")} ${names.length === 1 ? "is" : "are"}`;
}

function setLogged(names: readonly string[]): string {
  return names.slice(0, MOST_NAMES).map((name) => `alter table ${name} set logged`).join("; ");
}

/**
 * The time in the identity: a table with parts can have an index on the columns of its key only.
 */
function repeatKeyFor(partKey: readonly string[] | null): RepeatKey {
  return partKey?.includes("scheduled_at") && !partKey.includes("checked_at") ? "scheduled_at" : "checked_at";
}

/**
 * The fault of a table without an index for repeats, and the statements that mend it; empty if it
 * has one.
 */
export function repeatWarning(
  main: string,
  { kind, part_key }: TableFacts,
  indexes: RepeatIndexes,
  present: ReadonlySet<string>,
  written: readonly (keyof Metric)[],
): string[] {
  const { inferred, names, without } = indexes;
  const isCovered = inferred !== null || (names.size > 0 && without.length === 0);
  // Another warning tells of foreign tables, and no index of ours would help there.
  if (isCovered || kind === "f") return [];
  const time = repeatKeyFor(part_key);
  const identity = ["address", time, "check_id"] as const;
  const missing = identity.filter((column) => !present.has(column));
  const unused = identity.filter((column) => present.has(column) && !written.includes(column));
  const what = `${main} has no unique index on (${
    identity.join(", ")
  }): a metric that a producer had to send twice is stored twice`;
  if (unused.length > 0) return [`${what}; an index would not help while ${unused.join(" and ")} cannot be written`];
  const columns = missing.map((column) => `add column ${column} ${column === "check_id" ? "uuid" : "timestamptz"}`);
  const needed = kind === "v" ? without : [main];
  const alter = columns.length === 0 ? [] : needed.map((table) => `alter table ${table} ${columns.join(", ")}`);
  const isWhole = kind === "r" ||
    (kind === "p" && part_key?.every((column) => (identity as readonly string[]).includes(column)));
  const holders = isWhole ? [main] : without;
  const create = holders.map((table) => `create unique index on ${table} (address, ${time} desc, check_id)`);
  const statements = [...alter, ...create];
  if (statements.length === 0) return [what];
  const more = statements.length > MOST_NAMES ? "; and so for each other part" : "";
  return [`${what}; this mends it: ${statements.slice(0, MOST_NAMES).join("; ")}${more}`];
}
