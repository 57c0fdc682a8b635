import type { TableName } from "../config/setting_types.ts";
import { reachBeneath } from "./catalog.ts";
import type { Database } from "./database.ts";
import { doBlock, quoteLiteral } from "./pg_text.ts";
import { type Part, partEnding, type PartLength, partNames, type Span } from "./part_spans.ts";
import { quoteTables } from "./schema.ts";

// The parts of a table by time in SQL: which there are, and how to make one.

/** A moment as SQL reads it, whatever the settings of the session. */
const moment = (at: number) => `'${new Date(at).toISOString().replace("T00:00:00.000Z", "Z")}'`;

const boundsOf = ({ from, to }: Span) => `from (${moment(from)}) to (${moment(to)})`;

function partTable(table: TableName, length: PartLength, span: Span): string {
  return quoteTables({ ...table, name: table.name + partEnding(length, span) }).main;
}

/** Makes a part of a table that nobody uses yet: it locks the table from everybody. */
export function newPartSql(table: TableName, length: PartLength, span: Span): string {
  const { main } = quoteTables(table);
  return `create table if not exists ${partTable(table, length, span)} partition of ${main} ` +
    `for values ${boundsOf(span)}`;
}

/** The children of a table with their bounds; `main` is an expression for its oid. */
export const childrenSql = (main: string) => {
  // As PostgreSQL writes a bound and reads it again: in the session's own form of a time.
  const bound = (i: 1 | 2) =>
    `case m[${i}] when 'MINVALUE' then '-infinity' when 'MAXVALUE' then 'infinity' ` +
    `else trim(both '''' from m[${i}]) end::timestamptz`;
  return `select x.oid as part, x.relname::text as name, ${bound(1)} as lower, ${bound(2)} as upper
    from pg_inherits h join pg_class x on x.oid = h.inhrelid cross join lateral
      regexp_match(pg_get_expr(x.relpartbound, x.oid), '^FOR VALUES FROM [(](.+)[)] TO [(](.+)[)]$') m
    where h.inhparent = ${main}`;
};

/**
 * Makes a part of a table that is in use, unless another one reaches into its span, or its rows have
 * gone meanwhile. `create table ... partition of` would wait for every reader and hold up all
 * others. `attach` lets them work.
 */
export function addPartSql(table: TableName, length: PartLength, span: Span): string {
  const { main, keep } = quoteTables(table);
  const gone = `select exists (select from ${keep} where what = 'rows' and gone_before >= ${moment(span.to)})`;
  const names = partNames(table.name, length, span).map((name) => quoteLiteral(quoteTables({ ...table, name }).main));
  return doBlock(`declare
  part text := (select n from unnest(array[${names.join(", ")}]) with ordinality u(n, i)
    where to_regclass(n) is null order by i limit 1);
  is_gone boolean := false;
begin
  if has_table_privilege(to_regclass(${quoteLiteral(keep)}), 'select') then
    execute ${quoteLiteral(gone)} into is_gone;
  end if;
  if not is_gone and not exists (select from (${childrenSql(`${quoteLiteral(main)}::regclass`)}) c
    where c.lower < ${moment(span.to)} and c.upper > ${moment(span.from)})
  then
    execute 'create table ' || part || ${
    quoteLiteral(` (like ${main} including all excluding indexes excluding identity excluding statistics)`)
  };
    execute ${quoteLiteral(`alter table ${main} attach partition `)} || part || ${
    quoteLiteral(` for values ${boundsOf(span)}`)
  };
  end if;
end`);
}

/** A table that is parted by `scheduled_at`, as the catalog has it. */
export interface PartedTable {
  readonly name: TableName;
  readonly parts: readonly Part[];
  /** True if the role may make a part. */
  readonly mayMake: boolean;
}

/**
 * Reads the parts of a table, or of the table under a view. Null if it has none by `scheduled_at`,
 * or has a default part: nothing is made for such a table, and nothing need be.
 */
export async function readParts(database: Database, main: string): Promise<PartedTable | null> {
  const [table] = await database.query<{ oid: string; schema: string; name: string; may_make: boolean }>(
    `select c.oid::int8::text as oid, n.nspname::text as schema, c.relname::text as name,
       pg_has_role(c.relowner, 'usage') and has_schema_privilege(c.relnamespace, 'create') as may_make
     from pg_class c join pg_partitioned_table p on p.partrelid = c.oid
     join pg_namespace n on n.oid = c.relnamespace
     join pg_attribute a on a.attrelid = c.oid and a.attnum = p.partattrs[0]
     where c.oid = any($1::oid[]) and p.partstrat = 'r' and p.partnatts = 1 and p.partdefid = 0
       and a.attname = 'scheduled_at' and a.atttypid = 'timestamptz'::regtype limit 1`,
    [await reachBeneath(database, main)],
  );
  if (table === undefined) return null;
  const rows = await database.query<{ name: string; from: string; to: string }>(
    `select name, (extract(epoch from lower) * 1000)::float8::text as from,
       (extract(epoch from upper) * 1000)::float8::text as to
     from (${childrenSql("$1::text::oid")}) c order by lower`,
    [table.oid],
  );
  const parts = rows.map(({ name, from, to }) => ({ name, from: Number(from), to: Number(to) }));
  return { name: { schema: table.schema, name: table.name }, parts, mayMake: table.may_make };
}
