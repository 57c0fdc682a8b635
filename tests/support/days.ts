import { DAILY_COLUMNS, daySql, rowsOfDaySql } from "../../lib/postgres/daily_sql.ts";
import type { TableName } from "../../lib/config/setting_types.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { type Foreground, RollUp } from "../../lib/postgres/roll_up.ts";
import type { QuotedTables } from "../../lib/postgres/schema.ts";
import { prepareTables } from "../../lib/postgres/tables.ts";

/** A day's row that is not what the rows of the table say, or is missing, or should not be. */
export interface DayDifference {
  readonly day: string;
  readonly address: string;
  readonly location: string;
  readonly found: "in the roll-up only" | "in the rows only";
}

/**
 * Computes each rolled up day from `first` on anew from its rows, and compares. A row with another
 * value counts twice. Days with rows that came later are left out.
 */
export async function dayDifferences(
  database: Database,
  tables: QuotedTables,
  first = "-infinity",
): Promise<DayDifference[]> {
  const settled = await database.query<{ day: string }>(
    `select day::text as day from ${tables.days}
     where rolled_up_at is not null and not stale and roller is null and day >= $1::text::date order by day`,
    [first],
  );
  const differences: DayDifference[] = [];
  // A statement for each day: one for all of them may take longer than a statement may.
  for (const { day } of settled) differences.push(...await differencesOf(database, tables, day));
  return differences;
}

async function differencesOf(
  database: Database,
  { main, daily, maintenance }: QuotedTables,
  day: string,
): Promise<DayDifference[]> {
  const columns = Object.keys(DAILY_COLUMNS);
  const kept = `select ${columns.join(", ")} from ${daily} where day = $1::text::date`;
  const said = `select ${columns.map((column) => column === "day" ? "u.day" : `r.${column}`).join(", ")}
    from (select $1::text::date as day) u cross join lateral (${
    daySql(rowsOfDaySql(main, "u.day"), { maintenance })
  }) r`;
  return await database.query<DayDifference>(
    `with kept as (${kept}), said as (${said})
     select day::text as day, address, location, 'in the roll-up only' as found
     from (select * from kept except all select * from said) k
     union all
     select day::text, address, location, 'in the rows only' from (select * from said except all select * from kept) s
     order by 1, 2, 3, 4`,
    [day],
  );
}

const never = new AbortController().signal;

/** What rolls up each day that has ended, however late its last row came. */
export async function rollUpOf(database: Database, table: TableName, foreground?: Foreground): Promise<RollUp> {
  const tables = await prepareTables(database, table);
  return new RollUp(database, tables, { rolledUp() {} }, foreground, { after: 0, again: 0 });
}

/** Rolls up all days that can be. Gives them in the order in which that is done. */
export async function rollUpAll(rollUp: RollUp): Promise<string[]> {
  const days: string[] = [];
  for (let day = await rollUp.next(never); day !== null; day = await rollUp.next(never)) days.push(day);
  return days;
}
