import { DAILY_COLUMNS, daySql, rowsOfDaySql } from "../../lib/postgres/daily_sql.ts";
import type { Database } from "../../lib/postgres/database.ts";
import type { QuotedTables } from "../../lib/postgres/schema.ts";

/** A day's row that is not what the rows of the table say, or is missing, or should not be. */
export interface DayDifference {
  readonly day: string;
  readonly address: string;
  readonly location: string;
  readonly found: "in the roll-up only" | "in the rows only";
}

/**
 * Computes each rolled up day anew from its rows, and compares. A row with another value counts
 * twice. Days with rows that came later are left out.
 */
export async function dayDifferences(database: Database, tables: QuotedTables): Promise<DayDifference[]> {
  const { main, daily, days } = tables;
  const columns = Object.keys(DAILY_COLUMNS);
  const settled = `${days} u where u.rolled_up_at is not null and not u.stale and u.roller is null`;
  const kept = `select ${columns.map((column) => `d.${column}`).join(", ")}
    from ${daily} d where exists (select from ${settled} and u.day = d.day)`;
  const said = `select ${columns.map((column) => column === "day" ? "u.day" : `r.${column}`).join(", ")}
    from (select u.day from ${settled}) u cross join lateral (${daySql(rowsOfDaySql(main, "u.day"))}) r`;
  return await database.query<DayDifference>(
    `with kept as (${kept}), said as (${said})
     select day::text as day, address, location, 'in the roll-up only' as found
     from (select * from kept except all select * from said) k
     union all
     select day::text, address, location, 'in the rows only' from (select * from said except all select * from kept) s
     order by 1, 2, 3, 4`,
  );
}
