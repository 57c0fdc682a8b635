import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { MAX_TABLE_NAME_BYTES, type TableName } from "../../lib/config/setting_types.ts";
import { decodeMetric, METRIC_FIELDS } from "../../lib/metric.ts";
import { type Database, SetupError } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { flushSql } from "../../lib/postgres/flush_sql.ts";
import * as statements from "../../lib/postgres/marks.ts";
import { COLUMNS, dayGrants, grants, quoteTables } from "../../lib/postgres/schema.ts";
import { schemaSql } from "../../lib/postgres/schema_text.ts";
import { type Entry, Store } from "../../lib/postgres/store.ts";
import { prepareTables, type Tables } from "../../lib/postgres/tables.ts";
import { serverForTests } from "../support/database_kinds.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { createRole } from "../support/roles.ts";

it("COLUMNS has one for each field of a metric", () => {
  expect(Object.keys(COLUMNS)).toEqual(METRIC_FIELDS);
});

it("schemaSql names every statement that the tables need", () => {
  const [tables = "", views = "", comments = ""] = schemaSql(
    { schema: "My Schema", name: "m" },
    "month",
    undefined,
    Date.UTC(2026, 10, 30),
  )
    .split(/(?=create or replace view "My Schema"."m_now")|(?=-- A role)/);
  expect([...views.matchAll(/^create or replace view (.+) as$/gm)].map(([, name]) => name)).toEqual([
    '"My Schema"."m_now"',
    '"My Schema"."m_outages"',
    '"My Schema"."m_uptime"',
  ]);
  const months = Array.from({ length: 15 }, (_, i) => new Date(Date.UTC(2026, 9 + i)).toISOString().slice(0, 10));
  const parts = months.slice(0, -1).map((month, i) =>
    `create table if not exists "My Schema"."m_${month.slice(0, 4)}${
      month.slice(5, 7)
    }" partition of "My Schema"."m" ` +
    `for values from ('${month}Z') to ('${months[i + 1]}Z');`
  ).join("\n");
  expect(tables).toBe(`create schema if not exists "My Schema";

create table if not exists "My Schema"."m" (
  latency double precision not null,
  scheduled_at timestamptz not null,
  checked_at timestamptz not null,
  tls_expires_at timestamptz,
  next_at timestamptz,
  status_code integer,
  latency_dns real,
  latency_connect real,
  latency_tls real,
  latency_first_byte real,
  latency_body real,
  is_valid boolean not null,
  check_id uuid,
  up boolean,
  address text collate "C" not null,
  error text,
  error_detail text,
  location text,
  remote_address inet,
  producer text,
  labels jsonb
) partition by range (scheduled_at);

do $$
begin
  if not exists (select from pg_index i where i.indrelid = '"My Schema"."m"'::regclass and i.indisunique and
    (select array_agg(a.attname::text order by a.attname) from pg_attribute a
     where a.attrelid = i.indrelid and a.attnum = any(i.indkey)) = '{address,check_id,scheduled_at}')
  then
    create unique index "m_newest" on "My Schema"."m" (address, scheduled_at desc, check_id);
  end if;
exception when duplicate_table then
  -- Another relation has this name: PostgreSQL chooses one.
  create unique index on "My Schema"."m" (address, scheduled_at desc, check_id);
end
$$;

create table if not exists "My Schema"."m_daily" (
  address text collate "C" not null,
  location text not null,
  day date not null,
  checks integer not null,
  up integer not null,
  down integer not null,
  missed integer not null,
  removed integer not null,
  seconds_down double precision not null,
  longest_outage interval not null,
  latency_p50 double precision,
  latency_p95 double precision,
  latency_p99 double precision,
  latency_max double precision,
  latency_from integer,
  latency_counts integer[] not null,
  tls_expires_at timestamptz,
  primary key (address, day, location)
);

do $$
begin
  if not exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = '"My Schema"."m_daily"'::regclass and a.attname = 'day')
  then
    create index on "My Schema"."m_daily" (day);
  end if;
end
$$;

create table if not exists "My Schema"."m_days" (
  day date primary key,
  stale boolean not null default true,
  roller uuid,
  rolled_to text,
  bitten_at timestamptz,
  rolled_up_at timestamptz
);

do $$
begin
  if (select attcollation from pg_attribute where attrelid = '"My Schema"."m_daily"'::regclass and attname = 'address') = '"C"'::regcollation and
    (select attcollation from pg_attribute where attrelid = '"My Schema"."m"'::regclass and attname = 'address') <> '"C"'::regcollation
  then
    alter table "My Schema"."m_daily" alter column address type text collate "default";
  end if;
end
$$;

do $$
begin
  if (select attcollation from pg_attribute where attrelid = '"My Schema"."m"'::regclass and attname = 'address') = '"C"'::regcollation and
    (select attcollation from pg_attribute where attrelid = '"My Schema"."m_daily"'::regclass and attname = 'address') <> '"C"'::regcollation
  then
    alter table "My Schema"."m" alter column address type text collate "default";
  end if;
end
$$;

${parts}

create table if not exists "My Schema"."m_offsets" (
  topic_id text not null,
  partition integer not null,
  next_offset bigint not null,
  topic text not null,
  moved_at timestamptz not null default now(),
  epoch integer,
  epoch_at bigint,
  skips integer not null default 0,
  statement uuid,
  primary key (topic_id, partition)
);

do $$
begin
  if obj_description('"My Schema"."m_offsets"'::regclass, 'pg_class') is null then
    comment on table "My Schema"."m_offsets" is 'host checker: layout 1';
  end if;
end
$$;

create table if not exists "My Schema"."m_rejected" (
  topic text not null,
  topic_id text not null,
  partition integer not null,
  "offset" bigint not null,
  key bytea,
  value bytea,
  reason text not null,
  rejected_at timestamptz not null default now()
);

create table if not exists "My Schema"."m_maintenance" (
  address text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  note text
);

create table if not exists "My Schema"."m_incidents" (
  id uuid primary key,
  kind text not null,
  address text collate "C" not null,
  opened_at timestamptz not null,
  confirmed_at timestamptz not null,
  closed_at timestamptz,
  locations text[] not null,
  error text,
  error_detail text,
  status_code integer,
  checks bigint not null
);

do $$
begin
  if not exists (select from pg_index i where i.indrelid = '"My Schema"."m_incidents"'::regclass and i.indpred is not null)
  then
    create unique index on "My Schema"."m_incidents" (address, kind) where closed_at is null;
    create index on "My Schema"."m_incidents" (address, opened_at desc);
  end if;
end
$$;

create table if not exists "My Schema"."m_leases" (
  what text primary key,
  holder uuid not null,
  held_until timestamptz not null
);

create table if not exists "My Schema"."m_notifications" (
  id uuid primary key,
  incident uuid not null,
  event text not null,
  target text not null,
  created_at timestamptz not null default now(),
  message uuid,
  due_at timestamptz,
  tries integer not null default 0,
  failure text,
  sent_at timestamptz,
  given_up_at timestamptz
);

do $$
begin
  if not exists (select from pg_index i where i.indrelid = '"My Schema"."m_notifications"'::regclass and i.indpred is not null)
  then
    create index on "My Schema"."m_notifications" (target, due_at) where sent_at is null and given_up_at is null;
    create index on "My Schema"."m_notifications" (incident);
  end if;
end
$$;

do $$
begin
  if (select attcollation from pg_attribute where attrelid = '"My Schema"."m_incidents"'::regclass and attname = 'address') = '"C"'::regcollation and
    (select attcollation from pg_attribute where attrelid = '"My Schema"."m"'::regclass and attname = 'address') <> '"C"'::regcollation
  then
    alter table "My Schema"."m_incidents" alter column address type text collate "default";
  end if;
end
$$;

create table if not exists "My Schema"."m_evidence" (
  address text not null,
  checked_at timestamptz not null,
  location text,
  check_id uuid unique,
  status_line text not null,
  headers jsonb not null,
  body text
);

do $$
begin
  if not exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = '"My Schema"."m_evidence"'::regclass and a.attname = 'address')
  then
    create index on "My Schema"."m_evidence" (address, checked_at desc);
    create index on "My Schema"."m_evidence" (checked_at);
  end if;
end
$$;

`);
  expect(comments).toBe(
    `-- A role that did not create them needs (its name for ROLE; the views are for people and dashboards):
-- grant usage on schema "My Schema" to ROLE;
-- grant select, insert, update on "My Schema"."m" to ROLE;
-- grant select, insert, update, delete on "My Schema"."m_offsets" to ROLE;
-- grant select, insert on "My Schema"."m_rejected" to ROLE;
-- grant select, insert, update, delete on "My Schema"."m_daily" to ROLE;
-- grant select, insert, update on "My Schema"."m_days" to ROLE;
-- grant select on "My Schema"."m_maintenance" to ROLE;
-- grant select, insert, update on "My Schema"."m_incidents" to ROLE;
-- grant select, insert, update on "My Schema"."m_leases" to ROLE;
-- grant select, insert, update, delete on "My Schema"."m_notifications" to ROLE;
-- grant select, insert, delete on "My Schema"."m_evidence" to ROLE;
-- grant select on "My Schema"."m_now" to ROLE;
-- grant select on "My Schema"."m_outages" to ROLE;
-- grant select on "My Schema"."m_uptime" to ROLE;

-- A consumer whose role owns the table makes the next parts itself.
-- For any other role let the owner run this each month: it makes the parts of a year.
-- do $$
-- declare
--   n timestamp;
-- begin
--   perform set_config('lock_timeout', '2s', true);
--   for i in 0..12 loop
--     n := date_trunc('month', now() at time zone 'UTC') + i * interval '1 month';
--     execute format('create table if not exists %s partition of %s for values from (%L) to (%L)', format('%1$I.%2$I', 'My Schema', 'm' || to_char(n, '_YYYYMM')),
--       '"My Schema"."m"', to_char(n, 'YYYY-MM-DD"Z"'), to_char(n + interval '1 month', 'YYYY-MM-DD"Z"'));
--   end loop;
-- end
-- $$;
`,
  );
});

it("every statement is ASCII: an encoding may lack any other character", () => {
  const table = { schema: null, name: "m" };
  const tables: Tables = {
    ...quoteTables(table),
    columns: METRIC_FIELDS,
    statusCodeRequired: false,
    defaults: new Map([["location", { type: "text", sql: "'x'::text" }]]),
    repeatIndexes: new Set(),
    repeatKey: "scheduled_at",
    replacesMissed: true,
    partLength: "month",
    hasIncidents: true,
    hasDays: true,
    hasMaintenance: true,
    hasEvidence: true,
    notesDays: true,
    scheduledAtRequired: true,
    reals: new Set(),
    isUnicode: false,
    hasKeep: true,
    kept: null,
    warnings: [],
  };
  const { claimSql, marksSql, movedSql, skipSql, forgetSql, knownSql, skippedSql, firstClaimScript } = statements;
  const one = [
    ...[claimSql, marksSql, movedSql, skipSql, forgetSql, knownSql, skippedSql].map((make) => make(tables)),
    firstClaimScript(tables, { topic: "t", topicId: "id" }, new Map([[0, 1]])),
  ];
  const all = [
    ...one,
    flushSql(tables, true),
    flushSql(tables, false, { changesIncidents: true, hasEvidence: true }),
    schemaSql(table),
  ];
  expect(Object.values(statements).filter((value) => /(?:Sql|Script)$/.test(value.name))).toHaveLength(8);
  expect(all.filter((statement) => !/^[\0-\x7f]+$/.test(statement))).toEqual([]);
});

describe.skipIf(postgresMissing !== null)(`Store.open ${postgresMissing ?? ""}`, () => {
  let server: TestPostgres;
  let database: Database;
  serverForTests((...started) => [server, database] = started);

  const newName = () => `m_${randomUUID().slice(0, 8)}`;
  const source = () => ({ topic: "metrics", topicId: randomUUID() });
  const bytes = new TextEncoder();

  function entry(offset: number, fields: object): Entry {
    const metric = { address: "a", status_code: 200, latency: 0.5, is_valid: true, ...fields };
    const value = bytes.encode(JSON.stringify(metric));
    return { partition: 0, offset, key: null, value, content: decodeMetric(value, Date.now()) };
  }

  /** Stores such metrics in the table. Gives its rows. */
  async function storeIn(table: TableName, metrics: readonly object[]): Promise<{ store: Store; rows: object[] }> {
    const store = await Store.open(database, table);
    const from = source();
    await store.marks.claim(from, new Map([[0, 0]]));
    const entries = metrics.map((metric, offset) => entry(offset, metric));
    expect(await store.flush(from, new Map([[0, { start: 0, next: entries.length }]]), entries)).toBe("stored");
    const rows = await database.query(`select * from ${quoteTables(table).main} order by address`);
    return { store, rows: JSON.parse(JSON.stringify(rows)) };
  }

  async function indexNames(table: TableName): Promise<ReadonlySet<string>> {
    return (await prepareTables(database, table)).repeatIndexes;
  }

  it.each([
    { schema: null, name: "plain" },
    { schema: null, name: "My Table" },
    { schema: null, name: `we"ird'; drop table plain; --` },
    { schema: null, name: "back\\slash $$ $q1$" },
    { schema: null, name: "x".repeat(MAX_TABLE_NAME_BYTES) },
    { schema: null, name: "é".repeat(MAX_TABLE_NAME_BYTES / 2) },
    { schema: "other", name: "plain" },
    { schema: "Other One", name: "select" },
  ])("creates what is missing, and uses it the next time: $schema $name", async (table) => {
    const { rows } = await storeIn(table, [{ address: "a" }]);
    expect(rows).toHaveLength(1);
    expect((await storeIn(table, [{ address: "b" }])).rows).toHaveLength(2);
    // That of the table, and those of its parts.
    expect((await indexNames(table)).size).toBe(5);
  });

  it("creates with what schemaSql prints", async () => {
    const table = { schema: null, name: newName() };
    await database.script(schemaSql(table));
    await database.script(schemaSql(table));
    expect((await storeIn(table, [{}])).store.warnings).toEqual([]);
    expect(await indexNames(table)).toContain(`"public"."${table.name}_newest"`);
  });

  it("creates once where four consumers start together", async () => {
    const table = { schema: `s_${randomUUID().slice(0, 8)}`, name: newName() };
    const databases = Array.from({ length: 4 }, () => openPostgres(server.settings));
    await Promise.all(databases.map((each) => each.query("select 1")));
    await Promise.all(databases.map((each) => Store.open(each, table)));
    await Promise.all(databases.map((each) => each[Symbol.asyncDispose]()));
    expect((await storeIn(table, [{}])).rows).toHaveLength(1);
  });

  it("puts the companions beside a table that is found through the search path", async () => {
    const name = newName();
    await using role = await createRole(server, "superuser");
    await database.script(`create schema authorization ${role.name};
      create table public.${name} (address text, status_code int, latency float8, is_valid bool)`);
    await Store.open(role.database, { schema: null, name });
    const rows = await database.query(
      `select schemaname::text as schema from pg_tables where tablename like '${name}%'`,
    );
    expect(rows).toEqual(Array(4).fill({ schema: "public" }));
  });

  it("writes the four columns of a table that has no others", async () => {
    const name = newName();
    await database.script(`create table ${name} (address text, status_code smallint, latency real, is_valid boolean)`);
    const missed = { address: "c", error: "missed", status_code: null };
    const { store, rows } = await storeIn({ schema: null, name }, [{ error: "dns", status_code: null }, {
      address: "b",
    }, missed]);
    expect(rows).toEqual([
      { address: "a", status_code: null, latency: 0.5, is_valid: true },
      { address: "b", status_code: 200, latency: 0.5, is_valid: true },
    ]);
    const main = `"public"."${name}"`;
    expect(store.warnings).toEqual([
      `${main} has no unique index on (address, checked_at, check_id): a metric that a producer had to send twice is ` +
      `stored twice; this mends it: alter table ${main} add column checked_at timestamptz, add column check_id uuid; ` +
      `create unique index on ${main} (address, checked_at desc, check_id)`,
    ]);
    expect(store.counters).toEqual({ rows: 2, rejected: 0, missedDropped: 1 });
  });

  it("writes 0 for null where the column status_code is NOT NULL", async () => {
    const name = newName();
    await database.script(
      `create domain ${name}_code as int not null;
       create table ${name} (address text, status_code ${name}_code, latency numeric, is_valid bool, error varchar)`,
    );
    const { rows } = await storeIn({ schema: null, name }, [{ status_code: null, error: "missed" }]);
    expect(rows).toEqual([{ address: "a", status_code: 0, latency: "0.5", is_valid: true, error: "missed" }]);
  });

  it("warns of a schema that it had to create, once", async () => {
    const table = { schema: `${newName()} typo`, name: "m" };
    const said = `The schema "${table.schema}" did not exist: it was created for "${table.schema}"."m"`;
    expect((await prepareTables(database, table)).warnings).toEqual([said]);
    expect((await prepareTables(database, table)).warnings).toEqual([]);
  });

  it("writes the columns that fit, and warns of each that does not", async () => {
    const name = newName();
    await database.script(
      `create table ${name} (id serial primary key, address varchar(100) not null, status_code bigint,
      latency numeric(6, 3), is_valid bool, scheduled_at timestamp, checked_at date, error int,
      error_detail text not null default '', latency_dns float8 generated always as (1) stored, check_id varchar,
      extra text not null default 'x')`,
    );
    const { store, rows } = await storeIn({ schema: null, name }, [
      { scheduled_at: "2026-01-02T03:04:05+02:00", check_id: "6f1f2a5e-8b0e-4d3c-9a57-0a1b2c3d4e5f" },
    ]);
    const main = `"public"."${name}"`;
    expect(store.warnings).toEqual([
      `Column checked_at of ${main} has the type date, which is not made for it (timestamptz is): it is left alone`,
      `Column error of ${main} has the type integer, which is not made for it (text is): it is left alone`,
      `Column latency_dns of ${main} is generated: it is left alone`,
      `${main} has no unique index on (address, checked_at, check_id): a metric that a producer had to send twice is ` +
      `stored twice; an index would not help while checked_at cannot be written`,
    ]);
    const [stored] = await database.query(`select scheduled_at::text, latency::text, check_id, extra from ${name}`);
    expect(stored).toEqual({
      scheduled_at: "2026-01-02 01:04:05",
      latency: "0.500",
      check_id: "6f1f2a5e-8b0e-4d3c-9a57-0a1b2c3d4e5f",
      extra: "x",
    });
    expect(rows).toHaveLength(1);
  });

  it.each([
    {
      what: "lacks columns or has some of other types",
      columns: "address int, latency float8, is_valid bool",
      message: "column address has the type integer, which is not made for it (text is); column status_code is missing",
    },
    {
      what: "wants a value that no metric has",
      columns:
        `address text, status_code int, latency float8, is_valid bool, "Owner" text not null, error text not null`,
      message: `column "Owner" is NOT NULL, has no default, and is not written: ` +
        `alter table $table alter column "Owner" drop not null; column "error" is NOT NULL, has no default, and is not ` +
        `written: alter table $table alter column "error" drop not null`,
    },
  ])("refuses a table that $what, and says all of it", async ({ columns, message }) => {
    const name = newName();
    await database.script(`create table ${name} (${columns})`);
    const main = `"public"."${name}"`;
    const expected = new SetupError(`Metrics cannot be stored in ${main}: ${message.replaceAll("$table", main)}`);
    await expect(Store.open(database, { schema: null, name })).rejects.toThrow(expected);
  });

  it("refuses what is no table", async () => {
    const name = newName();
    await database.script(`create sequence ${name}`);
    await expect(Store.open(database, { schema: null, name })).rejects.toThrow(
      new SetupError(`"public"."${name}" is no table: check DB_TABLE`),
    );
  });

  it("recognises the index of a partitioned table in its partitions", async () => {
    const name = newName();
    await database.script(`create table ${name} (address text, status_code int, latency float8, is_valid bool,
        checked_at timestamptz, check_id uuid) partition by range (checked_at);
      create table ${name}_all partition of ${name} default;
      create unique index on ${name} (check_id, checked_at, address)`);
    const again = { checked_at: "2026-01-02T03:04:05Z", check_id: "6f1f2a5e-8b0e-4d3c-9a57-0a1b2c3d4e5f" };
    const { rows, store } = await storeIn({ schema: null, name }, [again, again, { address: "b" }]);
    expect(rows).toHaveLength(2);
    expect(store.counters.rejected).toBe(0);
  });

  it.each([
    ["has other columns", "(address, checked_at)"],
    ["covers some of the rows", "(address, checked_at, check_id) where is_valid"],
    ["only carries check_id along", "(address, checked_at) include (check_id)"],
  ])("does not take for its own a unique index that %s", async (_, definition) => {
    const table = { schema: null, name: newName() };
    await Store.open(database, table, { partition: "none" });
    await database.script(`drop index ${table.name}_newest; create unique index on ${table.name} ${definition}`);
    expect(await indexNames(table)).toEqual(new Set());
  });

  it("refuses tables of a newer version in words, and changes nothing of them", async () => {
    const table = { schema: "public", name: newName() };
    const { main, offsets, rejected } = quoteTables(table);
    await Store.open(database, table);
    await database.script(`comment on table ${offsets} is 'host checker: layout 2'; drop table ${rejected}`);
    await expect(Store.open(database, table)).rejects.toThrow(
      new SetupError(
        `${main} is of a newer version of the consumer (layout 2; this version knows 1): start that version, or name ` +
          `another table in DB_TABLE (--db-table)`,
      ),
    );
    await database.script(schemaSql(table));
    await expect(Store.open(database, table)).rejects.toThrow("layout 2");
    await database.script(`comment on table ${offsets} is 'marks of ours'`);
    await Store.open(database, table);
    // Those of a version that wrote no number.
    await database.script(`comment on table ${offsets} is null`);
    await Store.open(database, table);
  });

  it("adds the columns that the marks of an earlier version lack, and keeps the marks", async () => {
    const table = { schema: "public", name: newName() };
    await using role = await createRole(server);
    const { offsets } = quoteTables(table);
    await Store.open(database, table);
    const from = source();
    await database.script(`alter table ${offsets} drop column epoch, drop column epoch_at, drop column skips,
        drop column statement;
      insert into ${offsets} (topic_id, partition, next_offset, topic) values ('${from.topicId}', 0, 7, 't');
      ${[...grants(table, role.name), ...dayGrants(table, role.name)].join(";")}`);
    await expect(Store.open(role.database, table)).rejects.toThrow(
      `alter table ${offsets}\n  add column if not exists epoch integer,\n  add column if not exists epoch_at bigint,\n` +
        `  add column if not exists skips integer not null default 0,\n` +
        `  add column if not exists statement uuid;`,
    );
    await Store.open(database, table);
    const store = await Store.open(role.database, table);
    expect(await store.marks.claim(from, new Map([[0, 0]]))).toEqual(new Map([[0, { offset: 7, epoch: null }]]));
    expect(await store.flush(from, new Map([[0, { start: 7, next: 8, epoch: 1 }]]), [entry(7, {})])).toBe("stored");
  });

  it("tells a role that may not create the statements to run, and works once they have run", async () => {
    const table = { schema: "public", name: newName() };
    await using role = await createRole(server);
    const { name: user, database: theirs } = role;
    await database.script("revoke create on schema public from public");
    const failure: unknown = await Store.open(theirs, table).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SetupError);
    const { message } = failure as SetupError;
    const [first, statements] = message.split("\n\n", 1).concat(message.slice(message.indexOf("\n\n")));
    expect(first).toBe(
      `The role "${user}" may not create what is missing (permission denied for schema public). ` +
        `Let somebody who may run this in the database, then start again:`,
    );
    await database.script(statements as string);
    const store = await Store.open(theirs, table);
    const from = source();
    await store.marks.claim(from, new Map([[0, 0]]));
    const repeat = { check_id: randomUUID(), checked_at: new Date().toISOString() };
    const entries = [entry(0, repeat), entry(1, repeat), entry(2, { latency: -1 })];
    expect(await store.flush(from, new Map([[0, { start: 0, next: 3 }]]), entries)).toBe("stored");
    expect(store.counters.rejected).toBe(1);
    expect(await store.marks.skip(from, 0, 3, { offset: 4, epoch: null }, "lost")).toBe(true);
    await store.marks.forget(from);

    await database.script(`revoke delete on ${quoteTables(table).offsets} from ${user}`);
    await expect(Store.open(theirs, table)).rejects.toThrow(
      `The role "${user}" lacks privileges on "public"."${table.name}" or its companions. Let somebody`,
    );
  });
});
