import { MAX_TABLE_NAME_BYTES, type TableName } from "../config/setting_types.ts";
import { type Metric, METRIC_FIELDS } from "../metric.ts";
import { oddTableWarnings, repeatWarning } from "./advice.ts";
import {
  type ColumnFacts,
  type OddTable,
  readColumns,
  readFacts,
  readOddTables,
  readRepeatIndexes,
  type TableFacts,
} from "./catalog.ts";
import { type Database, SetupError, sqlFailure } from "./database.ts";
import { quoteIdentifier } from "./pg_text.ts";
import { COLUMNS, creation, grants, type QuotedTables, quoteTables, REQUIRED_COLUMNS } from "./schema.ts";
import { type View, viewName, VIEWS, viewSql } from "./views.ts";

/** Three tables that exist and can be written, and the facts that the store needs of them. */
export interface Tables extends QuotedTables {
  /** The fields that the table has a fitting column for, in the order of `METRIC_FIELDS`. */
  readonly columns: readonly (keyof Metric)[];
  /** True if the column refuses null: 0 then stands for "no HTTP answer came". */
  readonly statusCodeRequired: boolean;
  /** What stands for null in columns that refuse it and have a default. */
  readonly defaults: ReadonlyMap<keyof Metric, ColumnDefault>;
  /** Unique indexes that recognise a metric that was sent twice, as `indexName` writes them. */
  readonly repeatIndexes: ReadonlySet<string>;
  /** True if the flush can leave repeats out by one of these indexes. */
  readonly infersRepeats: boolean;
  /** True if the database takes every text. */
  readonly isUnicode: boolean;
  /**
   * One line for each thing that a person should know of: what was created, what is left alone,
   * what breaks the promise.
   */
  readonly warnings: readonly string[];
}

/** A column's default as SQL, and the column's type beneath all domains. */
export interface ColumnDefault {
  readonly type: string;
  readonly sql: string;
}

/** Any number will do, but every consumer must take the same. */
const CREATION_LOCK = 7_236_401_598;

/**
 * Creates what is missing of the table and its companions, and the views of a new table. Then it
 * looks at what is there. Any number of consumers may do so at once. Throws `SetupError` with the
 * statements to run if the role may not, or if the table cannot take metrics.
 */
export async function prepareTables(database: Database, table: TableName): Promise<Tables> {
  const role = await currentRole(database);
  const home = await locate(database, table);
  const missing = await missingTables(database, home);
  const notMade = missing.length > 0 ? await create(database, home, missing, role) : [];
  const tables = await inspect(database, home, role);
  const created = [...await creationWarnings(database, tables, home, missing), ...notMade];
  return { ...tables, warnings: [...created, ...tables.warnings] };
}

async function creationWarnings(
  database: Database,
  { main, offsets }: QuotedTables,
  home: TableName,
  missing: readonly Missing[],
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

async function currentRole(database: Database): Promise<string> {
  const [row] = await database.query<{ role: string }>("select current_user::text as role");
  return row?.role ?? "";
}

/**
 * The table with the schema that it stands in, or will stand in. Its companions must not end up in
 * another schema of the search path.
 */
async function locate(database: Database, table: TableName): Promise<TableName> {
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

type Missing = "schema" | keyof QuotedTables;

async function missingTables(database: Database, home: TableName): Promise<Missing[]> {
  const { main, offsets, rejected } = quoteTables(home);
  const rows = await database.query<{ what: Missing }>(
    `select what from (values
       ('schema', 1, exists (select from pg_namespace where nspname = $1::text)),
       ('main', 2, to_regclass($2::text) is not null),
       ('offsets', 3, to_regclass($3::text) is not null),
       ('rejected', 4, to_regclass($4::text) is not null)) t(what, place, found)
     where not found order by place`,
    [home.schema, main, offsets, rejected],
  );
  return rows.map((row) => row.what);
}

/** The codes for a view whose name a table has, and for a view with columns of other types. */
const VIEW_REFUSED = ["42809", "42P16"];

/** Creates what is missing. Gives a warning for each view that was not made. */
async function create(
  database: Database,
  home: TableName,
  missing: readonly Missing[],
  role: string,
): Promise<string[]> {
  const views = missing.includes("main") ? VIEWS : [];
  const statements = missing.flatMap((what) => creation(home)[what]);
  const sql = (view: View) => viewSql(home, view, METRIC_FIELDS);
  try {
    await createAtOnce(database, [...statements, ...views.map(sql)]);
    return [];
  } catch (error) {
    const failure = sqlFailure(error);
    if (failure?.code === "42501") {
      const what = `The role ${quoteIdentifier(role)} may not create what is missing (${failure.message})`;
      const all = [...statements, ...views.map(sql), ...grants(home, quoteIdentifier(role))];
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

async function createAtOnce(database: Database, statements: readonly string[]): Promise<void> {
  // `if not exists` alone races. The lock lasts until the commit: one given back earlier would
  // leave a gap before it. The commit waits for the disk: lost rows come from Kafka again, a lost
  // table does not.
  const first = [`set local synchronous_commit = on`, `select pg_advisory_xact_lock(${CREATION_LOCK})`];
  await database.script([...first, ...statements].join(";\n"));
}

function withStatements(what: string, statements: readonly string[]): string {
  const script = statements.map((statement) => `${statement};`).join("\n");
  return `${what}. Let somebody who may run this in the database, then start again:\n\n${script}\n`;
}

async function inspect(database: Database, home: TableName, role: string): Promise<Tables> {
  const tables = quoteTables(home);
  const facts = await readFacts(database, tables);
  if (facts === null) throw new SetupError(`The table ${tables.main} has just been dropped: start again`);
  const indexes = await readRepeatIndexes(database, tables.main);
  const columns = await readColumns(database, tables.main);
  const odd = await readOddTables(database, tables);
  expectTables(tables, facts, odd);
  const mayWrite = facts.may_offsets && facts.may_rejected && columns.some((column) => column.writable);
  if (!mayWrite || (indexes.names.size > 0 && !facts.may_read)) {
    const what = `The role ${quoteIdentifier(role)} lacks privileges on ${tables.main} or its companions`;
    throw new SetupError(withStatements(what, grants(home, quoteIdentifier(role))));
  }
  const judged = judge(tables.main, columns, facts.has_trigger);
  const present = new Set(columns.map(({ name }) => name));
  const warnings = [
    ...judged.warnings,
    ...encodingWarning(facts.encoding),
    ...oddTableWarnings(odd, tables),
    ...repeatWarning(tables.main, facts, indexes, present, judged.columns),
  ];
  const isUnicode = facts.encoding === "UTF8";
  return {
    ...tables,
    ...standIns(columns),
    columns: judged.columns,
    isUnicode,
    repeatIndexes: indexes.names,
    infersRepeats: indexes.inferred,
    warnings,
  };
}

/**
 * Looks again at what may change without stopping a consumer: the indexes for repeats, and what
 * stands for null. The columns that are written stay the same.
 */
export async function lookAgain(database: Database, tables: Tables): Promise<Tables> {
  const { names, inferred } = await readRepeatIndexes(database, tables.main);
  const columns = await readColumns(database, tables.main);
  return { ...tables, ...standIns(columns), repeatIndexes: names, infersRepeats: inferred };
}

/** What is written if a metric has no value and the column refuses null. */
function standIns(facts: readonly ColumnFacts[]): Pick<Tables, "defaults" | "statusCodeRequired"> {
  const defaults = new Map<keyof Metric, ColumnDefault>();
  for (const column of facts) {
    const { name: field, refuses_null, default_sql, base } = column;
    if (!isField(field) || COLUMNS[field].always || field === "status_code") continue;
    if (refuses_null && default_sql !== null) defaults.set(field, { type: base, sql: default_sql });
  }
  const statusCode = facts.find(({ name }) => name === "status_code");
  return { defaults, statusCodeRequired: statusCode?.refuses_null ?? false };
}

function isField(name: string): name is keyof Metric {
  return Object.hasOwn(COLUMNS, name);
}

/** Tables, tables with parts, views and foreign tables can be written. */
const WRITABLE_KINDS = ["r", "p", "v", "f"];

function expectTables({ main, offsets, rejected }: QuotedTables, facts: TableFacts, odd: readonly OddTable[]): void {
  if (!WRITABLE_KINDS.includes(facts.kind)) throw new SetupError(`${main} is no table: check DB_TABLE`);
  const companions = [[offsets, facts.offsets_kind], [rejected, facts.rejected_kind]] as const;
  const [wrong] = companions.find(([, kind]) => !WRITABLE_KINDS.includes(kind)) ?? [];
  if (wrong !== undefined) {
    throw new SetupError(
      `${wrong} is no table, but ${main} needs one of this name: rename what has it, or check DB_TABLE`,
    );
  }
  const temporary = odd.find(({ what }) => what === "temporary");
  if (temporary !== undefined) {
    throw new SetupError(`${temporary.name} is temporary, and ends with its connection: check DB_TABLE`);
  }
}

/** Encodings that take every metric. SQL_ASCII takes the bytes as they are. */
const ROOMY_ENCODINGS = ["UTF8", "SQL_ASCII"];

function encodingWarning(encoding: string): string[] {
  return ROOMY_ENCODINGS.includes(encoding) ? [] : [
    `The database has the encoding ${encoding}: a metric with a character that ${encoding} lacks goes to the rejected; ` +
    `a database with the encoding UTF8 takes every metric`,
  ];
}

/**
 * Fields that are null in most metrics, or in those of healthy hosts. A column that refuses null
 * would turn good metrics away.
 */
const OFTEN_NULL: ReadonlySet<keyof Metric> = new Set([
  "error",
  "error_detail",
  "latency_dns",
  "latency_connect",
  "latency_tls",
  "latency_first_byte",
  "latency_body",
  "tls_expires_at",
]);

/**
 * Chooses the columns to write. Throws `SetupError` that names everything that keeps metrics from
 * being stored in this table.
 */
function judge(
  main: string,
  facts: readonly ColumnFacts[],
  hasTrigger: boolean,
): Pick<Tables, "columns" | "warnings"> {
  const byName = new Map(facts.map((column) => [column.name, column]));
  const columns: (keyof Metric)[] = [];
  const warnings: string[] = [];
  const problems: string[] = [];
  for (const field of Object.keys(COLUMNS) as (keyof Metric)[]) {
    const column = byName.get(field);
    const obstacle = column === undefined ? "is missing" : obstacleOf(field, column);
    if (obstacle === null) columns.push(field);
    else if (REQUIRED_COLUMNS.includes(field)) problems.push(`column ${field} ${obstacle}`);
    else if (column !== undefined) warnings.push(`Column ${field} of ${main} ${obstacle}: it is left alone`);
  }
  const unwritten = facts.filter((column) => !(columns as string[]).includes(column.name));
  // A trigger may fill it. If it does not, the first row says so.
  for (const column of hasTrigger ? [] : unwritten.filter((column) => column.required && !column.has_default)) {
    problems.push(
      `column ${quoteIdentifier(column.name)} is NOT NULL, has no default, and is not written: ` +
        `alter table ${main} alter column ${quoteIdentifier(column.name)} drop not null`,
    );
  }
  if (problems.length > 0) throw new SetupError(`Metrics cannot be stored in ${main}: ${problems.join("; ")}`);
  return { columns, warnings };
}

/** Why the field cannot be stored in the column; null if it can. */
function obstacleOf(field: keyof Metric, column: ColumnFacts): string | null {
  if (!COLUMNS[field].fits.includes(column.type)) {
    return `has the type ${column.written}, which is not made for it (${COLUMNS[field].type} is)`;
  }
  if (column.generated) return "is generated";
  if (!column.writable) return "may not be written by this role (grant insert)";
  const isRefused = column.required && column.default_sql === null && OFTEN_NULL.has(field);
  return isRefused ? "is NOT NULL, but most metrics have no value for it" : null;
}
