import type { Database } from "./database.ts";
import { arrayText, quoteIdentifier } from "./pg_text.ts";
import type { QuotedTables } from "./schema.ts";

/**
 * The parts of the tables $1, the chunks that an extension makes as their children, and the tables
 * under views.
 */
const BENEATH = `select h.inhrelid::int8::text as oid from pg_inherits h where h.inhparent = any($1::oid[])
  union
  select d.refobjid::int8::text from pg_rewrite w
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
  where w.ev_class = any($1::oid[]) and w.rulename = '_RETURN'`;

/**
 * The oids of a table and of everything that `step` leads to, as an array's text. It is no
 * recursive query: the planner takes its cost for so high that it compiles it, which takes seconds.
 */
async function reach(database: Database, table: string, step: string): Promise<string> {
  let level = await database.query<{ oid: string }>(
    `select c.oid::int8::text as oid from pg_class c where c.oid = to_regclass($1::text)`,
    [table],
  );
  const reached = new Set<string>();
  while (level.length > 0) {
    const oids = level.map(({ oid }) => oid).filter((oid) => !reached.has(oid));
    for (const oid of oids) reached.add(oid);
    level = oids.length === 0 ? [] : await database.query<{ oid: string }>(step, [arrayText(oids)]);
  }
  return arrayText([...reached]);
}

/**
 * True if PostgreSQL itself inserts into the table under a view; `c` is the view's row of pg_class.
 */
const PASSES_THROUGH = `c.relkind = 'v' and pg_relation_is_updatable(c.oid, false) & 8 = 8
  and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgtype & 68 = 68)`;

/** True if a user's trigger may change a row, or send it elsewhere, before it is stored. */
const HAS_TRIGGER = `exists (select from pg_trigger t
  where t.tgrelid = c.oid and not t.tgisinternal and t.tgtype & 7 = 7)`;

/** The tables into which the views among the tables $1 insert. */
const DIRECTLY_BENEATH = `select d.refobjid::int8::text as oid from pg_class c
  join pg_rewrite w on w.ev_class = c.oid and w.rulename = '_RETURN'
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
  where c.oid = any($1::oid[]) and ${PASSES_THROUGH}`;

/** The oids of a table and of those into which it inserts, if it is a view, as an array's text. */
export async function reachBeneath(database: Database, table: string): Promise<string> {
  return await reach(database, table, DIRECTLY_BENEATH);
}

/** The oids of a table and of its parts and chunks, over all levels, as an array's text. */
export async function reachParts(database: Database, table: string): Promise<string> {
  return await reach(
    database,
    table,
    `select h.inhrelid::int8::text as oid from pg_inherits h where h.inhparent = any($1::oid[])`,
  );
}

/** A column, as the catalog has it. */
export interface ColumnFacts {
  readonly name: string;
  /** The type beneath all domains, by its short name. */
  readonly type: string;
  /** The same type as SQL writes it, without a length. */
  readonly base: string;
  /** The type as SQL writes it. */
  readonly written: string;
  readonly required: boolean;
  /** True if the column refuses null by itself, or a part or the table under a view refuses it. */
  readonly refuses_null: boolean;
  readonly has_default: boolean;
  /** The default as SQL; null if no default gives a value. */
  readonly default_sql: string | null;
  readonly generated: boolean;
  readonly writable: boolean;
}

/**
 * True if the column `x` (of pg_attribute) refuses null by itself, apart from its type. It is no
 * `exists`: that would read all constraints.
 */
const refusesNull = (x: string) =>
  `(${x}.attnotnull or coalesce((select bool_or(pg_get_expr(k.conbin, k.conrelid) = format('(%I IS NOT NULL)', ${x}.attname))
      from pg_constraint k where k.conrelid = ${x}.attrelid and k.contype = 'c' and k.conkey = array[${x}.attnum]), false))`;

/** The same for the domain `t` (of pg_type). */
const DOMAIN_REFUSES_NULL =
  `(t.typnotnull or coalesce((select bool_or(pg_get_constraintdef(k.oid) ~ '^CHECK \\(\\(VALUE IS NOT NULL\\)\\)')
      from pg_constraint k where k.contypid = t.oid), false))`;

/**
 * Reads the columns of a table. A view's column has the default and the refusals of the column
 * under it that has its name.
 */
export async function readColumns(database: Database, main: string): Promise<ColumnFacts[]> {
  return await database.query<ColumnFacts>(
    `with below as materialized (
       select b.attname, bool_or(${refusesNull("b")}) as refuses_null,
         bool_or(b.attgenerated <> '' or b.attidentity = 'a') filter (where b.attrelid = c.oid or c.relkind = 'v') as generated,
         (array_agg(pg_get_expr(d.adbin, d.adrelid) order by b.attrelid <> c.oid)
           filter (where d.adbin is not null and (b.attrelid = c.oid or c.relkind = 'v')))[1] as default_sql
       from pg_class c cross join unnest($2::oid[]) r(oid) join pg_attribute b on b.attrelid = r.oid and b.attnum > 0
       left join pg_attrdef d on d.adrelid = b.attrelid and d.adnum = b.attnum and b.attgenerated = ''
       where c.oid = to_regclass($1::text) group by b.attname
     )
     select a.attname::text as name, type.name as type, type.base, format_type(a.atttypid, a.atttypmod) as written,
       ${refusesNull("a")} or type.required as required,
       below.refuses_null or type.required as refuses_null,
       below.default_sql is not null or type.default_sql is not null or a.attidentity <> '' as has_default,
       case when coalesce(below.default_sql, type.default_sql) !~ '^NULL(::|$)'
         then coalesce(below.default_sql, type.default_sql) end as default_sql,
       below.generated, has_column_privilege(a.attrelid, a.attnum, 'insert') as writable
     from pg_attribute a join below on below.attname = a.attname
     cross join lateral (
       with recursive layer(level, oid) as (
         select 0, a.atttypid
         union all
         select l.level + 1, t.typbasetype from layer l join pg_type t on t.oid = l.oid where t.typtype = 'd'
       )
       select (array_agg(t.typname::text order by l.level desc))[1] as name,
         format_type((array_agg(t.oid order by l.level desc))[1], -1) as base,
         bool_or(${DOMAIN_REFUSES_NULL}) as required,
         -- A domain over a domain has taken over the default when it was made: PostgreSQL looks no deeper.
         min(pg_get_expr(t.typdefaultbin, 0)) filter (where l.level = 0) as default_sql
       from layer l join pg_type t on t.oid = l.oid) type
     where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [main, await reach(database, main, BENEATH)],
  );
}

/**
 * The time in the identity of a metric: `scheduled_at` in new tables, `checked_at` in older ones.
 */
export type RepeatKey = "scheduled_at" | "checked_at";

/**
 * The time in the key of the index `i` (of pg_index), if it is unique on exactly that time, address
 * and check_id, in any order. Null for any other index.
 */
const REPEAT_KEY = `(select (array_agg(a.attname::text) filter (where a.attname in ('scheduled_at', 'checked_at')))[1]
    from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey[0:2])
    having count(*) filter (where a.attname in ('address', 'check_id')) = 2)`;

/** True if the index `i` (of pg_index) tells a metric that was sent twice. */
export const TELLS_REPEATS = `i.indisunique and i.indpred is null and i.indexprs is null and i.indnkeyatts = 3
  and ${REPEAT_KEY} is not null`;

/** The indexes by which a metric that was sent twice is recognised. */
export interface RepeatIndexes {
  /**
   * Unique indexes on exactly address, check_id and the time, in any order, as `indexName` writes
   * them.
   */
  readonly names: ReadonlySet<string>;
  /** The time in the one that `on conflict` finds through the table itself; null: it finds none. */
  readonly inferred: RepeatKey | null;
  /** Tables that hold rows of the table but have no such index, each quoted. */
  readonly without: readonly string[];
}

/** The name of an index with its schema, which no other index has. */
export function indexName(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/**
 * Reads the indexes of a table and of everything beneath it. Parts, chunks and indexes may be
 * younger than the last look.
 */
export async function readRepeatIndexes(database: Database, main: string): Promise<RepeatIndexes> {
  const rows = await database.query<IndexRow>(
    `select format('%I.%I', n.nspname, c.relname) as holder, s.nspname::text as schema, x.relname::text as name,
       case when i.indisvalid and i.indimmediate and c.oid = any($3::oid[]) then ${REPEAT_KEY} end as inferred,
       -- A trigger may send the rows of a table with children to these.
       c.relkind = 'r' and (not exists (select from pg_inherits h where h.inhparent = c.oid)
         or c.oid = to_regclass($1::text) and not ${HAS_TRIGGER}) as holds_rows
     from unnest($2::oid[]) r(oid) join pg_class c on c.oid = r.oid join pg_namespace n on n.oid = c.relnamespace
     left join pg_index i on i.indrelid = c.oid and ${TELLS_REPEATS}
     left join pg_class x on x.oid = i.indexrelid left join pg_namespace s on s.oid = x.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f') order by holder, name`,
    [main, await reach(database, main, BENEATH), await reachBeneath(database, main)],
  );
  const names = rows.flatMap(({ schema, name }) => schema === null || name === null ? [] : [indexName(schema, name)]);
  const without = rows.filter(({ holds_rows, name }) => holds_rows && name === null).map(({ holder }) => holder);
  return { names: new Set(names), inferred: inferredOf(rows), without };
}

/** Where a table has an index on either time, the one of new tables counts. */
function inferredOf(rows: readonly IndexRow[]): RepeatKey | null {
  const keys = rows.map(({ inferred }) => inferred);
  return keys.find((key) => key === "scheduled_at") ?? keys.find((key) => key !== null) ?? null;
}

interface IndexRow {
  readonly holder: string;
  readonly schema: string | null;
  readonly name: string | null;
  readonly inferred: RepeatKey | null;
  readonly holds_rows: boolean;
}

/**
 * Tells by its columns what an index is. It is "gone" also while it is built anew: it has another
 * name then.
 */
export async function lookUpIndex(
  database: Database,
  schema: string,
  name: string,
): Promise<"repeats" | "other" | "gone"> {
  const [row] = await database.query<{ tells: boolean }>(
    `select coalesce(${TELLS_REPEATS}, false) as tells
     from pg_class x join pg_namespace n on n.oid = x.relnamespace join pg_index i on i.indexrelid = x.oid
     where n.nspname = $1::text and x.relname = $2::text`,
    [schema, name],
  );
  if (row === undefined) return "gone";
  return row.tells ? "repeats" : "other";
}

/**
 * A table that a crash empties, that stands on another server, or that ends with the connection.
 */
export interface OddTable {
  readonly root: keyof QuotedTables;
  readonly name: string;
  readonly what: "unlogged" | "foreign" | "temporary";
}

/** Finds the odd ones among the three tables and everything beneath them. */
export async function readOddTables(database: Database, tables: QuotedTables): Promise<OddTable[]> {
  const names = [tables.main, tables.offsets, tables.rejected];
  const reached: string[] = [];
  for (const name of names) reached.push(await reach(database, name, BENEATH));
  return await database.query<OddTable>(
    `select r.root, format('%I.%I', n.nspname, c.relname) as name,
       case when c.relkind = 'f' then 'foreign' when c.relpersistence = 'u' then 'unlogged' else 'temporary' end as what
     from (select 'main' as root, unnest($1::oid[]) as oid union all select 'offsets', unnest($2::oid[])
       union all select 'rejected', unnest($3::oid[])) r
     join pg_class c on c.oid = r.oid join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'f' or c.relkind in ('r', 'v') and (c.relpersistence = 'u' or c.relpersistence = 't' and
       c.oid in (to_regclass($4::text), to_regclass($5::text), to_regclass($6::text))) order by r.root, name`,
    [...reached, ...names],
  );
}

/** The catalog's facts about the tables and the database. */
export interface TableFacts {
  readonly kind: string;
  /** The kinds of the companions, as pg_class has them. */
  readonly offsets_kind: string;
  readonly rejected_kind: string;
  /** True if a trigger may fill columns before the row is checked. */
  readonly has_trigger: boolean;
  /**
   * Columns that decide to which part a row goes; null if the table has no parts, or an expression
   * decides.
   */
  readonly part_key: readonly string[] | null;
  readonly may_read: boolean;
  /** True if rows of the table itself may be changed, and no policy chooses among them. */
  readonly may_replace: boolean;
  readonly may_offsets: boolean;
  readonly may_rejected: boolean;
  readonly has_keep: boolean;
  /** True if the tables for the days exist. */
  readonly has_days: boolean;
  readonly may_days: boolean;
  /** True if the tables for the incidents exist. */
  readonly has_incidents: boolean;
  readonly may_incidents: boolean;
  /** True if the role can read when people work at sites. */
  readonly has_maintenance: boolean;
  /** The encoding of the database's texts. */
  readonly encoding: string;
}

/** Reads these facts; null if the table has just been dropped. */
export async function readFacts(database: Database, tables: QuotedTables): Promise<TableFacts | null> {
  const [facts] = await database.query<TableFacts>(
    `select c.relkind::text as kind,
       (select o.relkind::text from pg_class o where o.oid = to_regclass($2::text)) as offsets_kind,
       (select o.relkind::text from pg_class o where o.oid = to_regclass($3::text)) as rejected_kind,
       ${HAS_TRIGGER} as has_trigger,
       (select json_agg(a.attname::text) from pg_partitioned_table p join pg_attribute a
          on a.attrelid = c.oid and a.attnum = any(p.partattrs::int2[])
        where p.partrelid = c.oid and p.partexprs is null) as part_key,
       has_table_privilege(c.oid, 'select') as may_read,
       c.relkind in ('r', 'p') and has_table_privilege(c.oid, 'update') and not row_security_active(c.oid) as may_replace,
       has_table_privilege($2::text, 'select') and has_table_privilege($2::text, 'insert') and
         has_table_privilege($2::text, 'update') and has_table_privilege($2::text, 'delete') as may_offsets,
       has_table_privilege($3::text, 'insert') as may_rejected,
       to_regclass($4::text) is not null as has_keep,
       to_regclass($5::text) is not null and to_regclass($6::text) is not null as has_days,
       coalesce((select bool_and(has_table_privilege(to_regclass(t.name), t.privilege)) from (values
         ($5::text, 'select'), ($5::text, 'insert'), ($5::text, 'update'),
         ($6::text, 'select'), ($6::text, 'insert'), ($6::text, 'update')) t(name, privilege)), false) as may_days,
       to_regclass($7::text) is not null and to_regclass($8::text) is not null and to_regclass($9::text) is not null
         and to_regclass($10::text) is not null as has_incidents,
       coalesce((select bool_and(has_table_privilege(to_regclass(t.name), t.privilege)) from (values
         ($7::text, 'select'), ($7::text, 'insert'), ($7::text, 'update'),
         ($8::text, 'select'), ($8::text, 'insert'), ($8::text, 'update'),
         ($9::text, 'select'), ($10::text, 'select'), ($10::text, 'insert'), ($10::text, 'update'),
         ($10::text, 'delete')) t(name, privilege)), false) as may_incidents,
       coalesce(has_table_privilege(to_regclass($9::text), 'select'), false) as has_maintenance,
       current_setting('server_encoding') as encoding
     from pg_class c where c.oid = to_regclass($1::text)`,
    [
      ...[tables.main, tables.offsets, tables.rejected, tables.keep, tables.daily, tables.days],
      ...[tables.incidents, tables.leases, tables.maintenance, tables.notifications],
    ],
  );
  return facts ?? null;
}
