import type { TableName } from "../../lib/config/setting_types.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { spanOf } from "../../lib/postgres/part_spans.ts";
import { newPartSql } from "../../lib/postgres/parts.ts";

/**
 * Makes the part of a table for rows of this moment, if there is none. Whoever inserts rows of the
 * past needs it: on the first of a month, those of yesterday have another part than those of today.
 */
export async function makePart(database: Database, table: TableName, moment: number): Promise<void> {
  await database.query(newPartSql(table, "month", spanOf("month", moment)));
}
