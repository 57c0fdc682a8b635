import { type Database, SetupError, sqlFailure } from "../database.ts";
import { type Metric, METRIC_FIELDS } from "../metric.ts";
import { quoteIdentifier } from "../pg_text.ts";
import {
  COLUMNS,
  creation,
  grants,
  type QuotedTables,
  quoteTables,
  REQUIRED_COLUMNS,
  type TableName,
} from "../schema.ts";
import { VIEWS, viewSql } from "../views.ts";

/** Three tables that exist and can be written, and what is to be known of them. */
export interface Tables extends QuotedTables {
  /** The fields that the table has a fitting column for, in the order of the contract. */
  readonly columns: readonly (keyof Metric)[];
  /** Where the column refuses null, 0 stands for "no HTTP answer came". */
  readonly statusCodeRequired: boolean;
  /** Names of the unique indexes by which a metric that was sent twice is recognised. */
  readonly repeatIndexes: ReadonlySet<string>;
  /** One line for a schema that was created, and for each column that is left alone though its name is that of a field. */
  readonly warnings: readonly string[];
}

/** Any number will do, as long as every consumer takes the same. */
const CREATION_LOCK = 7_236_401_598;

/**
 * Creates what is missing of the table and its companions, and with a new table its views, and looks at what is there. Any number of consumers may do so at
 * once. Throws `SetupError` with the statements to run where the role may not, or where the table cannot take metrics.
 */
export async function prepareTables(database: Database, table: TableName): Promise<Tables> {
  const role = await currentRole(database);
  const home = await locate(database, table);
  const missing = await missingTables(database, home);
  if (missing.length > 0) await create(database, home, missing, role);
  const tables = await inspect(database, home, role);
  if (!missing.includes("schema")) return tables;
  // It was asked for, by a name that nobody had used yet: a slip of the pen would else not be seen.
  const created = `The schema ${quoteIdentifier(home.schema ?? "")} did not exist: it was created for ${tables.main}`;
  return { ...tables, warnings: [created, ...tables.warnings] };
}

async function currentRole(database: Database): Promise<string> {
  const [row] = await database.query<{ role: string }>("select current_user::text as role");
  return row?.role ?? "";
}

/** The table with the schema it stands in, or will. Its companions must not end up in another one of the search path. */
async function locate(database: Database, table: TableName): Promise<TableName> {
  const [row] = await database.query<{ schema: string | null }>(
    `select coalesce($2::text, (select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.oid = to_regclass($1::text)), current_schema()::text) as schema`,
    [quoteTables(table).main, table.schema],
  );
  if (row === undefined || row.schema === null) {
    throw new SetupError(
      `No schema of the role's search_path exists, so there is no place for the table ${quoteTables(table).main}: ` +
        `create one, or write DB_TABLE (--db-table) as schema.table`,
    );
  }
  return { schema: row.schema, name: table.name };
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

async function create(database: Database, home: TableName, missing: readonly Missing[], role: string): Promise<void> {
  const views = missing.includes("main") ? VIEWS.map((view) => viewSql(home, view, METRIC_FIELDS)) : [];
  const statements = [...missing.flatMap((what) => creation(home)[what]), ...views];
  try {
    // `if not exists` alone races. The lock lasts until the commit: one given back earlier would leave a gap before it.
    // On the disk at once: what a crash loses of the rows comes from Kafka again, a table does not.
    const first = [`set local synchronous_commit = on`, `select pg_advisory_xact_lock(${CREATION_LOCK})`];
    await database.script([...first, ...statements].join(";\n"));
  } catch (error) {
    if (sqlFailure(error)?.code !== "42501") throw error;
    const what = `The role ${quoteIdentifier(role)} may not create what is missing (${(error as Error).message})`;
    throw new SetupError(withStatements(what, [...statements, ...grants(home, quoteIdentifier(role))]), {
      cause: error,
    });
  }
}

function withStatements(what: string, statements: readonly string[]): string {
  const script = statements.map((statement) => `${statement};`).join("\n");
  return `${what}. Let somebody who may run this in the database, then start again:\n\n${script}\n`;
}

/** What the catalog says of a column. */
interface ColumnFacts {
  readonly name: string;
  /** The type beneath a domain, by its short name. */
  readonly type: string;
  /** The type as SQL writes it. */
  readonly written: string;
  readonly required: boolean;
  readonly has_default: boolean;
  readonly generated: boolean;
  readonly writable: boolean;
}

interface TableFacts {
  readonly kind: string;
  /** True where a trigger may fill columns before the row is checked. */
  readonly has_trigger: boolean;
  readonly may_read: boolean;
  readonly may_offsets: boolean;
  readonly may_rejected: boolean;
}

async function inspect(database: Database, home: TableName, role: string): Promise<Tables> {
  const tables = quoteTables(home);
  const facts = await readFacts(database, tables);
  const repeatIndexes = await readRepeatIndexes(database, tables.main);
  const columns = await readColumns(database, tables.main);
  if (!["r", "p", "v", "f"].includes(facts.kind)) throw new SetupError(`${tables.main} is no table: check DB_TABLE`);
  const mayWrite = facts.may_offsets && facts.may_rejected && columns.some((column) => column.writable);
  if (!mayWrite || (repeatIndexes.size > 0 && !facts.may_read)) {
    const what = `The role ${quoteIdentifier(role)} lacks privileges on ${tables.main} or its companions`;
    throw new SetupError(withStatements(what, grants(home, quoteIdentifier(role))));
  }
  return { ...tables, repeatIndexes, ...judge(tables.main, columns, facts.has_trigger) };
}

async function readFacts(database: Database, tables: QuotedTables): Promise<TableFacts> {
  const [facts] = await database.query<TableFacts>(
    `select c.relkind::text as kind,
       exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal and t.tgtype & 7 = 7) as has_trigger,
       has_table_privilege(c.oid, 'select') as may_read,
       has_table_privilege($2::text, 'select') and has_table_privilege($2::text, 'insert') and
         has_table_privilege($2::text, 'update') and has_table_privilege($2::text, 'delete') as may_offsets,
       has_table_privilege($3::text, 'insert') as may_rejected
     from pg_class c where c.oid = to_regclass($1::text)`,
    [tables.main, tables.offsets, tables.rejected],
  );
  if (facts === undefined) throw new SetupError(`The table ${tables.main} has just been dropped: start again`);
  return facts;
}

/** Unique indexes on exactly (address, checked_at, check_id), in any order, and their parts where the table is partitioned. */
async function readRepeatIndexes(database: Database, main: string): Promise<ReadonlySet<string>> {
  const rows = await database.query<{ name: string }>(
    `select p.relname::text as name
     from pg_index i cross join lateral (
       select i.indexrelid as relid union select t.relid from pg_partition_tree(i.indexrelid) t) part
     join pg_class p on p.oid = part.relid
     where i.indrelid = to_regclass($1::text) and i.indisunique and i.indisvalid and i.indimmediate
       and i.indpred is null and i.indexprs is null and i.indnkeyatts = 3
       and (select array_agg(a.attname::text order by a.attname) from pg_attribute a
            where a.attrelid = i.indrelid and a.attnum = any(i.indkey[0:2])) = '{address,check_id,checked_at}'`,
    [main],
  );
  return new Set(rows.map((row) => row.name));
}

async function readColumns(database: Database, main: string): Promise<ColumnFacts[]> {
  return await database.query<ColumnFacts>(
    `select a.attname::text as name, coalesce(b.typname, t.typname)::text as type,
       format_type(a.atttypid, a.atttypmod) as written, a.attnotnull or t.typnotnull as required,
       a.atthasdef or a.attidentity <> '' or t.typdefault is not null as has_default,
       a.attgenerated <> '' or a.attidentity = 'a' as generated,
       has_column_privilege(a.attrelid, a.attnum, 'insert') as writable
     from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype
     where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [main],
  );
}

/** Null in most metrics, or in those that are well: a column that refuses it would turn good metrics away. */
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

/** Which columns to write. Throws `SetupError` that names everything in the way of storing metrics in this table. */
function judge(
  main: string,
  facts: readonly ColumnFacts[],
  hasTrigger: boolean,
): Pick<Tables, "columns" | "statusCodeRequired" | "warnings"> {
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
  // A trigger may fill it. Where it does not, the first row says so.
  for (const column of hasTrigger ? [] : unwritten.filter((column) => column.required && !column.has_default)) {
    problems.push(
      `column ${quoteIdentifier(column.name)} is NOT NULL, has no default, and is not written: ` +
        `alter table ${main} alter column ${quoteIdentifier(column.name)} drop not null`,
    );
  }
  if (problems.length > 0) throw new SetupError(`Metrics cannot be stored in ${main}: ${problems.join("; ")}`);
  return { columns, warnings, statusCodeRequired: byName.get("status_code")?.required ?? false };
}

/** Why the field cannot be stored in the column; null where it can. */
function obstacleOf(field: keyof Metric, column: ColumnFacts): string | null {
  if (!COLUMNS[field].fits.includes(column.type)) {
    return `has the type ${column.written}, which is not made for it (${COLUMNS[field].type} is)`;
  }
  if (column.generated) return "is generated";
  if (!column.writable) return "may not be written by this role (grant insert)";
  return column.required && OFTEN_NULL.has(field) ? "is NOT NULL, but most metrics have no value for it" : null;
}
