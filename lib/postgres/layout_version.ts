import { type Database, SetupError } from "./database.ts";
import { doBlock, quoteLiteral } from "./pg_text.ts";

// The layout of the tables has a number, which stands beside the marks: an older consumer must not
// write into tables that it would misunderstand.

/**
 * It grows when a consumer of before would do harm, not with each new table or column. Tables
 * without a number are of a version that had none, and are known.
 */
export const LAYOUT_VERSION = 1;

/** What stands before the number, in a comment: it goes along with a dump, and everybody may read it. */
const COMMENT = "host checker: layout ";

/** Notes the number on new tables. A number that is there stays: it may be a newer one. */
export function layoutSql(offsets: string): string {
  return doBlock(`begin
  if obj_description(${quoteLiteral(offsets)}::regclass, 'pg_class') is null then
    comment on table ${offsets} is ${quoteLiteral(COMMENT + LAYOUT_VERSION)};
  end if;
end`);
}

/** Throws `SetupError` if a newer version of the consumer made the tables, or has changed them. */
export async function expectKnownLayout(database: Database, main: string, offsets: string): Promise<void> {
  const [row] = await database.query<{ version: string | null }>(
    `select substring(obj_description(to_regclass($1::text), 'pg_class') from '^${COMMENT}(\\d+)$') as version`,
    [offsets],
  );
  const version = Number(row?.version ?? 0);
  if (version <= LAYOUT_VERSION) return;
  throw new SetupError(
    `${main} is of a newer version of the consumer (layout ${version}; this version knows ${LAYOUT_VERSION}): start ` +
      `that version, or name another table in DB_TABLE (--db-table)`,
  );
}
