import type { TableName } from "../config/setting_types.ts";
import { type Evidence, evidenceOf, type Metric } from "../metric.ts";
import { type Database, sqlFailure } from "./database.ts";
import type { EntryOf } from "./entry.ts";
import { ascii, doBlock, elements, quoteIdentifier, quoteLiteral } from "./pg_text.ts";
import { type QuotedTables, quoteTables } from "./schema.ts";
import { createAtOnce, withStatements } from "./table_creation.ts";

// What sites answered when checks failed: a table of its own, beside that of the metrics.

/**
 * The statements that make the table. A check that is sent twice is told by its id. The other
 * indexes serve the page of a host, and the deleting.
 */
export function evidenceCreation(table: TableName): string[] {
  const { evidence } = quoteTables(table);
  return [
    `create table if not exists ${evidence} (\n  address text not null,\n  checked_at timestamptz not null,\n` +
    `  location text,\n  check_id uuid unique,\n  status_line text not null,\n  headers jsonb not null,\n  body text\n)`,
    doBlock(`begin
  if not exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = ${quoteLiteral(evidence)}::regclass and a.attname = 'address')
  then
    create index on ${evidence} (address, checked_at desc);
    create index on ${evidence} (checked_at);
  end if;
end`),
  ];
}

/** The rights that a role needs which may not create the table. `role` is quoted, or stands for one. */
export function evidenceGrants(table: TableName, role: string): string[] {
  return [`grant select, insert, delete on ${quoteTables(table).evidence} to ${role}`];
}

/** Whether evidence can be kept, and why not, for a person. */
interface EvidenceTable {
  readonly hasEvidence: boolean;
  readonly warnings: readonly string[];
}

/** Makes the table where it is missing. Where that cannot be, metrics are stored all the same. */
export async function prepareEvidence(database: Database, home: TableName, role: string): Promise<EvidenceTable> {
  const { evidence } = quoteTables(home);
  const [found] = await database.query<{ may: boolean | null }>(
    `select has_table_privilege(to_regclass($1::text), 'select') and has_table_privilege(to_regclass($1::text), 'insert') as may`,
    [evidence],
  );
  if (found?.may === true) return { hasEvidence: true, warnings: [] };
  const without = (why: string, statements: readonly string[]) => {
    return { hasEvidence: false, warnings: [withStatements(`No evidence is kept: ${why}`, statements)] };
  };
  const rights = evidenceGrants(home, quoteIdentifier(role));
  if (found?.may === false) return without(`the role ${quoteIdentifier(role)} lacks rights on ${evidence}`, rights);
  try {
    await createAtOnce(database, evidenceCreation(home));
    return { hasEvidence: true, warnings: [] };
  } catch (error) {
    const failure = sqlFailure(error);
    if (failure === null) throw error;
    return without(`${evidence} cannot be made (${failure.message})`, [...evidenceCreation(home), ...rights]);
  }
}

/** The parameters of `evidenceSql`, with their types. */
const PARAMETERS = {
  partition: "int",
  at: "bigint",
  address: "text",
  checked_at: "timestamptz",
  location: "text",
  check_id: "uuid",
  status_line: "text",
  headers: "jsonb",
  body: "text",
} as const;
/** How many parameters `evidenceSql` has. */
export const EVIDENCE_PARAMETERS = Object.keys(PARAMETERS).length;
const COLUMNS = Object.keys(PARAMETERS).slice(2).join(", ");

/**
 * A part of the flush statement: it stores the evidence of the metrics whose mark has moved. Its
 * parameters begin at number `first`. A check that is there already, sent twice, keeps its evidence.
 */
export function evidenceSql({ evidence }: Pick<QuotedTables, "evidence">, first: number): string {
  const arrays = Object.values(PARAMETERS).map((type, i) => `$${first + i}::${type}[]`);
  return `evident as (
  insert into ${evidence} (${COLUMNS})
  select ${COLUMNS.replaceAll(/\w+/g, "e.$&")}
  from unnest(${arrays.join(", ")}) as e(${Object.keys(PARAMETERS).join(", ")})
  join moved v on v.partition = e.partition where e.at >= v.mark
  on conflict do nothing
)`;
}

/**
 * The evidence of metrics for `evidenceSql`, without the braces around each array. Empty where no
 * metric has evidence.
 */
export function evidenceColumns(entries: readonly EntryOf<Metric>[], isUnicode: boolean): readonly string[] {
  if (entries.length === 0) return [];
  const writable = (text: string) => isUnicode ? text : ascii(text);
  const column = <T>(value: (entry: EntryOf<Metric>, evidence: Evidence) => T) =>
    entries.map((entry) => value(entry, evidenceOf(entry.content) as Evidence));
  return [
    elements(column(({ partition }) => partition)),
    elements(column(({ offset }) => offset)),
    elements(column(({ content }) => content.address)),
    elements(column(({ content }) => content.checked_at)),
    elements(column(({ content }) => content.location)),
    elements(column(({ content }) => content.check_id)),
    elements(column((_, { status_line }) => writable(status_line))),
    elements(column((_, { headers }) =>
      JSON.stringify(
        Object.fromEntries(Object.entries(headers).map((pair) => pair.map(writable) as [string, string])),
      )
    )),
    elements(column((_, { body }) => body === null ? null : writable(body))),
  ];
}

/** Messages with their evidence, encoded. */
type EncodedEvidence = { readonly evidence: readonly string[] };

/** True where some message has evidence. */
export function hasEvidence(slices: readonly EncodedEvidence[]): boolean {
  return slices.some(({ evidence }) => evidence.length > 0);
}

/** The parameters of `evidenceSql`: none where no message has evidence. */
export function evidenceParameters(slices: readonly EncodedEvidence[]): string[] {
  const filled = slices.filter(({ evidence }) => evidence.length > 0);
  if (filled.length === 0) return [];
  return Object.keys(PARAMETERS).map((_, i) => `{${filled.map(({ evidence }) => evidence[i]).join(",")}}`);
}

/** What a site answered when a check failed. */
export interface EvidenceRow extends Evidence {
  readonly checked_at: Date;
  readonly location: string | null;
}

/** What an address answered, the newest first. */
export async function readEvidence(
  database: Database,
  { evidence, hasEvidence }: Pick<QuotedTables, "evidence"> & { readonly hasEvidence: boolean },
  address: string,
  most: number,
): Promise<EvidenceRow[]> {
  if (!hasEvidence) return [];
  const rows = await database.query<Omit<EvidenceRow, "headers"> & { headers: string }>(
    `select checked_at, location, status_line, headers::text as headers, body from ${evidence}
     where address = $1::text order by checked_at desc limit ${most}`,
    [address],
  );
  return rows.map((row) => ({ ...row, headers: JSON.parse(row.headers) as Evidence["headers"] }));
}
