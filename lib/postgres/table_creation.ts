import { MAX_TABLE_NAME_BYTES, type Partition, type TableName } from "../config/setting_types.ts";
import { type Metric, METRIC_FIELDS } from "../metric.ts";
import { type Database, SetupError, sqlFailure } from "./database.ts";
import { arrayText, quoteIdentifier } from "./pg_text.ts";
import { PARTS_AHEAD, spansByHand, spansFrom } from "./part_spans.ts";
import { addPartSql, newPartSql } from "./parts.ts";
import {
  ADDED_COLUMNS,
  type Creatable,
  creation,
  dayGrants,
  type Deletions,
  grants,
  incidentGrants,
  maintenanceGrants,
  needsKeep,
  type QuotedTables,
  quoteTables,
} from "./schema.ts";
import { type View, viewName, VIEWS, viewSql, WITH_COMPANIONS } from "./views.ts";

/** Any number will do, but every consumer must take the same. */
export const CREATION_LOCK = 7_236_401_598;

/** One line for each thing that was created and that a person should know of. */
export async function creationWarnings(
  database: Database,
  { main, offsets }: QuotedTables,
  home: TableName,
  missing: readonly Creatable[],
): Promise<string[]> {
  // It was asked for by a name that nobody had used yet: without a word, nobody would see a typing
  // error.
  if (missing.includes("schema")) {
    return [`The schema ${quoteIdentifier(home.schema ?? "")} did not exist: it was created for ${main}`];
  }
  if (!missing.includes("main") || missing.includes("offsets")) return [];
  const marks = await database.query(`select from ${offsets} limit 1`);
  // Right if the table was renamed, wrong if it was dropped: only a person knows.
  return marks.length === 0 ? [] : [
    `${main} did not exist: it was created beside ${offsets}, whose marks stay; what is before them is not loaded again`,
  ];
}

/** The role that the login has given. */
export async function currentRole(database: Database): Promise<string> {
  const [row] = await database.query<{ role: string }>("select current_user::text as role");
  return row?.role ?? "";
}

/**
 * The table with the schema that it stands in, or will stand in. Its companions must not end up in
 * another schema of the search path.
 */
export async function locate(database: Database, table: TableName): Promise<TableName> {
  const [row] = await findHome(database, table);
  if (row === undefined || row.schema === null) {
    throw new SetupError(
      `No schema of the role's search_path exists, so there is no place for the table ${quoteTables(table).main}: ` +
        `create one, or write DB_TABLE (--db-table) as schema.table`,
    );
  }
  if (row.bytes > MAX_TABLE_NAME_BYTES) {
    throw new SetupError(
      `${quoteTables(table).main} has ${row.bytes} bytes in the database's encoding ${row.encoding}, more than ` +
        `${MAX_TABLE_NAME_BYTES}: write a shorter name, or one in ASCII, in DB_TABLE (--db-table)`,
    );
  }
  return { schema: row.schema, name: table.name };
}

interface Home {
  readonly schema: string | null;
  readonly bytes: number;
  readonly encoding: string;
}

async function findHome(database: Database, table: TableName): Promise<Home[]> {
  try {
    return await database.query<Home>(
      `select coalesce($2::text, (select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.oid = to_regclass($1::text)), current_schema()::text) as schema,
       octet_length($3::text) as bytes, current_setting('server_encoding') as encoding`,
      [quoteTables(table).main, table.schema, table.name],
    );
  } catch (error) {
    const failure = sqlFailure(error);
    if (failure?.code !== "22P05") throw error;
    throw new SetupError(
      `The database's encoding has no form of ${
        quoteTables(table).main
      } (${failure.message}): write a name in ASCII in ` +
        `DB_TABLE (--db-table), or use a database with the encoding UTF8`,
      { cause: error },
    );
  }
}

/** The columns without which incidents could not be found again after a restart. */
export const INCIDENT_NEEDS: readonly (keyof Metric)[] = ["scheduled_at", "checked_at", "error", "location"];

/** What does not exist, in the order in which it must be created. */
export async function missingTables(
  database: Database,
  home: TableName,
  deletions: Deletions,
  hasIncidents: boolean,
): Promise<Creatable[]> {
  const { main, offsets, rejected, keep, incidents, leases, maintenance, notifications } = quoteTables(home);
  const rows = await database.query<{ what: Creatable }>(
    `select what from (
       select $8::bool and (to_regclass($2::text) is null or (
         select count(*) = cardinality($11::text[]) from pg_attribute
         where attrelid = to_regclass($2::text) and attname = any($11::text[]) and not attisdropped)) as wanted
     ) i cross join lateral (values
       ('schema', 1, exists (select from pg_namespace where nspname = $1::text)),
       ('main', 2, to_regclass($2::text) is not null),
       ('offsets', 3, to_regclass($3::text) is not null),
       ('rejected', 4, to_regclass($4::text) is not null),
       ('added', 5, not exists (select from pg_class where oid = to_regclass($3::text) and relkind in ('r', 'p', 'f')) or
         (select count(*) = cardinality($5::text[]) from pg_attribute
          where attrelid = to_regclass($3::text) and attname = any($5::text[]) and not attisdropped)),
       ('keep', 6, $7::bool is false or to_regclass($6::text) is not null),
       -- The views of a new table need it, too.
       ('maintenance', 7, to_regclass($12::text) is not null or to_regclass($2::text) is not null and not i.wanted),
       ('incidents', 8, not i.wanted or to_regclass($9::text) is not null and to_regclass($10::text) is not null
         and to_regclass($13::text) is not null)
     ) t(what, place, found)
     where not found order by place`,
    [
      ...[home.schema, main, offsets, rejected, arrayText(Object.keys(ADDED_COLUMNS)), keep, needsKeep(deletions)],
      ...[hasIncidents, incidents, leases, arrayText(INCIDENT_NEEDS), maintenance, notifications],
    ],
  );
  return rows.map((row) => row.what);
}

/** The codes for a view whose name a table has, and for a view with columns of other types. */
const VIEW_REFUSED = ["42809", "42P16"];

/** Creates what is missing. Gives a warning for each view that was not made. */
export async function createMissing(
  database: Database,
  home: TableName,
  missing: readonly Creatable[],
  { role, partition, deletions }: {
    readonly role: string;
    readonly partition: Partition;
    readonly deletions: Deletions;
  },
): Promise<string[]> {
  const views = missing.includes("main") ? VIEWS : [];
  const statements = missing.flatMap((what) => {
    return [...creation(home, partition)[what], ...(what === "main" ? firstParts(home, partition) : [])];
  });
  const sql = (view: View) => viewSql(home, view, METRIC_FIELDS, WITH_COMPANIONS);
  try {
    await createAtOnce(database, [...statements, ...views.map(sql)]);
    return [];
  } catch (error) {
    const failure = sqlFailure(error);
    if (failure?.code === "42501") {
      const what = `The role ${quoteIdentifier(role)} may not create what is missing (${failure.message})`;
      // Nobody makes parts for such a role: these last for a year.
      const parts = partsByHand(home, partition);
      const all = [
        ...missing.flatMap((what) => [...creation(home, partition)[what], ...(what === "main" ? parts : [])]),
        ...views.map(sql),
        ...grants(home, quoteIdentifier(role), deletions, partition),
        ...(missing.includes("main") ? dayGrants(home, quoteIdentifier(role)) : []),
        ...(missing.includes("maintenance") ? maintenanceGrants(home, quoteIdentifier(role)) : []),
        ...(missing.includes("incidents") ? incidentGrants(home, quoteIdentifier(role)) : []),
      ];
      throw new SetupError(withStatements(what, all), { cause: error });
    }
    if (views.length === 0 || !VIEW_REFUSED.includes(failure?.code ?? "")) throw error;
  }
  // Metrics can be stored without views.
  await createAtOnce(database, statements);
  const warnings: string[] = [];
  for (const view of views) {
    const failure = await createAtOnce(database, [sql(view)]).then(() => null, (error: unknown) => error);
    if (failure === null) continue;
    if (!VIEW_REFUSED.includes(sqlFailure(failure)?.code ?? "")) throw failure;
    const name = viewName(home, view);
    warnings.push(
      `The view ${name} is not made (${(failure as Error).message}): rename or drop what has its name, then run its ` +
        `statement of \`consumer.ts --print-schema\``,
    );
  }
  return warnings;
}

/** The parts of a new table that its owner makes for a role which may not. */
export function partsByHand(table: TableName, partition: Partition, now = Date.now()): string[] {
  return partition === "none" ? [] : spansByHand(partition, now).map((span) => newPartSql(table, partition, span));
}

/** The current part of a new table, and the next ones. */
function firstParts(table: TableName, partition: Partition): string[] {
  if (partition === "none") return [];
  return spansFrom(partition, Date.now(), PARTS_AHEAD).map((span) => addPartSql(table, partition, span));
}

/** Runs statements that create something in one transaction. Only one consumer at a time does. */
export async function createAtOnce(database: Database, statements: readonly string[]): Promise<void> {
  // `if not exists` alone races. The lock lasts until the commit: one given back earlier would
  // leave a gap before it. The commit waits for the disk: lost rows come from Kafka again, a lost
  // table does not.
  const first = [`set local synchronous_commit = on`, `select pg_advisory_xact_lock(${CREATION_LOCK})`];
  await database.script([...first, ...statements].join(";\n"));
}

/** A message that ends with statements for somebody who may run them. */
export function withStatements(what: string, statements: readonly string[]): string {
  const script = statements.map((statement) => `${statement};`).join("\n");
  return `${what}. Let somebody who may run this in the database, then start again:\n\n${script}\n`;
}
