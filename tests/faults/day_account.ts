import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { type QuotedTables, quoteTables } from "../../lib/postgres/schema.ts";
import { dayDifferences, rollUpAll, rollUpOf } from "../support/days.ts";
import { eventually } from "../support/eventually.ts";
import type { TestPostgres } from "../support/postgres.ts";

/** Milliseconds until all days are rolled up. A roller that was killed is taken for dead late. */
const LIMIT = 300_000;

/** What became of the days of a campaign. */
export interface DayAccount {
  /** The days that the consumers had rolled up, and those that were left over. */
  readonly settled: number;
  readonly left: number;
  readonly problems: readonly string[];
}

/**
 * Compares the days with the rows, once nothing is stored any more: first those that the consumers
 * say are rolled up, then all of them. `first` is the first day whose rows are still there.
 */
export async function accountForDays({ settings }: TestPostgres, table: string, first: string): Promise<DayAccount> {
  await using database = openPostgres(settings);
  const name = { schema: null, name: table };
  const tables = quoteTables(name);
  const forgotten = await daysUnknown(database, tables, first);
  const problems = forgotten.length > 0 ? [`days with rows that nobody has noted: ${forgotten.join(", ")}`] : [];
  problems.push(...await compare(database, tables, first, "while consumers ran"));
  const before = await countDays(database, tables, first);
  const rollUp = await rollUpOf(database, name);
  await eventually(
    async () => {
      await rollUpAll(rollUp);
      return (await countDays(database, tables, first)).left === 0;
    },
    () => "Not all days could be rolled up",
    { timeout: LIMIT, interval: 1000 },
  );
  problems.push(...await compare(database, tables, first, "at the end"));
  return { ...before, problems };
}

async function compare(database: Database, tables: QuotedTables, first: string, when: string): Promise<string[]> {
  const differences = await dayDifferences(database, tables, first);
  const some = differences.slice(0, 10).map(({ day, address, found }) => `${day} ${address} ${found}`);
  return some.length === 0 ? [] : [`${differences.length} differences of days and rows ${when}: ${some.join("; ")}`];
}

/** Days with rows that nobody has noted: no consumer would ever roll them up. */
async function daysUnknown(database: Database, { main, days }: QuotedTables, first: string): Promise<string[]> {
  const rows = await database.query<{ day: string }>(
    `select d.day::text as day from (
       select distinct (m.scheduled_at at time zone 'UTC')::date as day from ${main} m) d
     where d.day >= $1::text::date and not exists (select from ${days} k where k.day = d.day) order by 1`,
    [first],
  );
  return rows.map(({ day }) => day);
}

async function countDays(database: Database, { days }: QuotedTables, first: string) {
  const [row] = await database.query<{ settled: number; left: number }>(
    `select count(*) filter (where not stale and roller is null)::int as settled,
       count(*) filter (where stale or roller is not null)::int as left
     from ${days} where day >= $1::text::date and day < (now() at time zone 'UTC')::date`,
    [first],
  );
  return { settled: row?.settled ?? 0, left: row?.left ?? 0 };
}
