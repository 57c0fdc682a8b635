import type { Keep } from "../config/keep.ts";
import { COMPANIONS, type Partition, type TableName } from "../config/setting_types.ts";
import { FIELD_KINDS, type FieldKind, type Metric, METRIC_FIELDS } from "../metric.ts";
import { ADDRESS_TYPE, DAILY_COLUMNS } from "./daily_sql.ts";
import { layoutSql } from "./layout_version.ts";
import { doBlock, quoteIdentifier, quoteLiteral } from "./pg_text.ts";

const TEXT = ["text", "varchar", "bpchar", "citext"] as const;
const NUMBER = ["float8", "float4", "numeric"] as const;
const TIME = ["timestamptz", "timestamp"] as const;

/**
 * A column as it is created. `fits` has the types of a user's column that take the value without a
 * loss.
 */
interface Column {
  readonly type: string;
  /** True if every metric has a value. */
  readonly always?: true;
  readonly fits: readonly string[];
}

/** The column of a field of each kind, as values are sent to it. */
const COLUMN_OF: Readonly<Record<FieldKind, Column>> = {
  text: { type: "text", fits: TEXT },
  status: { type: "integer", fits: ["int4", "int2", "int8", "numeric"] },
  seconds: { type: "double precision", fits: NUMBER },
  flag: { type: "boolean", fits: ["bool"] },
  instant: { type: "timestamptz", fits: TIME },
  uuid: { type: "uuid", fits: ["uuid", "text", "varchar"] },
  ip: { type: "inet", fits: ["inet"] },
  labels: { type: "jsonb", fits: ["jsonb", "json"] },
};

/** The fields that are never null in a row: a metric without `checked_at` gets the time of its record. */
const ALWAYS: readonly (keyof Metric)[] = ["address", "latency", "is_valid", "checked_at"];
/** Never null in a table that the consumer creates: its parts are made by it. */
const ALWAYS_IN_NEW: readonly (keyof Metric)[] = [...ALWAYS, "scheduled_at"];

/**
 * The phases of a check in a new table: seven digits suffice for seconds of a check. `latency` keeps
 * all of its digits, since the percentiles of a day are exact.
 */
const PHASES: readonly (keyof Metric)[] = [
  "latency_dns",
  "latency_connect",
  "latency_tls",
  "latency_first_byte",
  "latency_body",
];

/** Bytes at whose multiples PostgreSQL puts a value of a type; 0: anywhere, and of any length. */
const ALIGNMENT: Readonly<Record<string, number>> = {
  "timestamptz": 8,
  "double precision": 8,
  "real": 4,
  "integer": 4,
  "uuid": 1,
  "boolean": 1,
  "text": 0,
  "inet": 0,
  "jsonb": 0,
};

/**
 * The columns of a new table with their types, in an order that leaves no gap between values: those
 * of the widest alignment first.
 */
function newColumns(): { readonly name: keyof Metric; readonly type: string }[] {
  const typeOf = (name: keyof Metric) => PHASES.includes(name) ? "real" : COLUMNS[name].type;
  const columns = METRIC_FIELDS.map((name) => ({ name, type: name === "address" ? ADDRESS_TYPE : typeOf(name) }));
  return columns.toSorted((a, b) => (ALIGNMENT[b.type] ?? 0) - (ALIGNMENT[a.type] ?? 0));
}

/** A column for each field of a metric, in the order of `METRIC_FIELDS`. */
export const COLUMNS = Object.fromEntries(METRIC_FIELDS.map((field) => {
  const column = COLUMN_OF[FIELD_KINDS[field]];
  return [field, ALWAYS.includes(field) ? { ...column, always: true } : column];
})) as Readonly<Record<keyof Metric, Column>>;

/** The tables, each quoted for use in a statement. */
export interface QuotedTables {
  readonly main: string;
  readonly offsets: string;
  readonly rejected: string;
  /** How long rows are kept. It exists once something is not kept for ever. */
  readonly keep: string;
  /** One row an address, location and day. */
  readonly daily: string;
  /** Which days have rows, and which of them are rolled up. */
  readonly days: string;
  /** What is down, and what was. */
  readonly incidents: string;
  /** Which consumer does a work that one does for all. */
  readonly leases: string;
  /** When people work at sites. */
  readonly maintenance: string;
  /** What is to be told of incidents, and to whom. */
  readonly notifications: string;
  /** What sites answered when checks failed. */
  readonly evidence: string;
}

/** Quotes the table and its companions, which stand beside it in the same schema. */
export function quoteTables({ schema, name }: TableName): QuotedTables {
  const prefix = schema === null ? "" : `${quoteIdentifier(schema)}.`;
  const quoted = (suffix: string) => prefix + quoteIdentifier(name + suffix);
  return {
    main: quoted(""),
    offsets: quoted(COMPANIONS.offsets),
    rejected: quoted(COMPANIONS.rejected),
    keep: quoted(COMPANIONS.keep),
    daily: quoted(COMPANIONS.daily),
    days: quoted(COMPANIONS.days),
    incidents: quoted(COMPANIONS.incidents),
    leases: quoted(COMPANIONS.leases),
    maintenance: quoted(COMPANIONS.maintenance),
    notifications: quoted(COMPANIONS.notifications),
    evidence: quoted(COMPANIONS.evidence),
  };
}

/** Columns of the marks that an earlier version did not make. */
export const ADDED_COLUMNS = {
  epoch: "integer",
  epoch_at: "bigint",
  skips: "integer not null default 0",
  statement: "uuid",
} as const;

/**
 * What may have to be created: the schema, the tables, and the columns that were added to the
 * marks.
 */
export type Creatable = "schema" | "main" | "offsets" | "rejected" | "keep" | "added" | "maintenance" | "incidents";

/**
 * The statements that create each of them, in the order in which they must run. The parts of the
 * table come with statements of their own.
 */
export function creation(table: TableName, partition: Partition): Readonly<Record<Creatable, readonly string[]>> {
  const { main, offsets, rejected, keep, daily, days, incidents, leases, maintenance, notifications } = quoteTables(
    table,
  );
  const added = Object.entries(ADDED_COLUMNS);
  const columns = newColumns().map(({ name, type }) => {
    return `  ${name} ${type}${ALWAYS_IN_NEW.includes(name) ? " not null" : ""}`;
  });
  const parted = partition === "none" ? "" : " partition by range (scheduled_at)";
  return {
    schema: table.schema === null ? [] : [`create schema if not exists ${quoteIdentifier(table.schema)}`],
    main: [
      `create table if not exists ${main} (\n${columns.join(",\n")}\n)${parted}`,
      indexSql(main, quoteIdentifier(`${table.name}_newest`)),
      ...daysCreation({ daily, days }),
      sameOrderSql(daily, main),
      sameOrderSql(main, daily),
    ],
    offsets: [
      `create table if not exists ${offsets} (\n  topic_id text not null,\n  partition integer not null,\n` +
      `  next_offset bigint not null,\n  topic text not null,\n  moved_at timestamptz not null default now(),\n` +
      added.map(([name, type]) => `  ${name} ${type},\n`).join("") +
      `  primary key (topic_id, partition)\n)`,
      layoutSql(offsets),
    ],
    rejected: [
      `create table if not exists ${rejected} (\n  topic text not null,\n  topic_id text not null,\n` +
      `  partition integer not null,\n  "offset" bigint not null,\n  key bytea,\n  value bytea,\n` +
      `  reason text not null,\n  rejected_at timestamptz not null default now()\n)`,
    ],
    added: [
      `alter table ${offsets}\n` +
      added.map(([name, type]) => `  add column if not exists ${name} ${type}`).join(",\n"),
    ],
    keep: [
      `create table if not exists ${keep} (\n  what text primary key,\n  keep text not null,\n  shorter text,\n` +
      `  shorter_at timestamptz,\n  gone_before timestamptz,\n  next_sweep timestamptz\n)`,
    ],
    maintenance: [
      `create table if not exists ${maintenance} (\n  address text not null,\n  starts_at timestamptz not null,\n` +
      `  ends_at timestamptz not null,\n  note text\n)`,
    ],
    incidents: [...incidentsCreation({ incidents, leases, notifications }), sameOrderSql(incidents, main)],
  };
}

/**
 * Lets a new table order addresses as another one does, if that is of an earlier version: these have
 * the order of the database. The views go through both side by side.
 */
function sameOrderSql(made: string, other: string): string {
  const order = (table: string) =>
    `(select attcollation from pg_attribute where attrelid = ${quoteLiteral(table)}::regclass and attname = 'address')`;
  return doBlock(`begin
  if ${order(made)} = '"C"'::regcollation and
    ${order(other)} <> '"C"'::regcollation
  then
    alter table ${made} alter column address type text collate "default";
  end if;
end`);
}

/**
 * Makes the tables for the incidents. By an index an address has one open incident of a kind. The
 * other index serves pages.
 */
function incidentsCreation(
  { incidents, leases, notifications }: Pick<QuotedTables, "incidents" | "leases" | "notifications">,
): string[] {
  return [
    `create table if not exists ${incidents} (\n  id uuid primary key,\n  kind text not null,\n` +
    `  address ${ADDRESS_TYPE} not null,\n  opened_at timestamptz not null,\n  confirmed_at timestamptz not null,\n  closed_at timestamptz,\n` +
    `  locations text[] not null,\n  error text,\n  error_detail text,\n  status_code integer,\n` +
    `  checks bigint not null\n)`,
    doBlock(`begin
  if not exists (select from pg_index i where i.indrelid = ${
      quoteLiteral(incidents)
    }::regclass and i.indpred is not null)
  then
    create unique index on ${incidents} (address, kind) where closed_at is null;
    create index on ${incidents} (address, opened_at desc);
  end if;
end`),
    `create table if not exists ${leases} (\n  what text primary key,\n  holder uuid not null,\n` +
    `  held_until timestamptz not null\n)`,
    `create table if not exists ${notifications} (\n  id uuid primary key,\n  incident uuid not null,\n` +
    `  event text not null,\n  target text not null,\n  created_at timestamptz not null default now(),\n` +
    `  message uuid,\n  due_at timestamptz,\n  tries integer not null default 0,\n  failure text,\n` +
    `  sent_at timestamptz,\n  given_up_at timestamptz\n)`,
    doBlock(`begin
  if not exists (select from pg_index i where i.indrelid = ${
      quoteLiteral(notifications)
    }::regclass and i.indpred is not null)
  then
    create index on ${notifications} (target, due_at) where sent_at is null and given_up_at is null;
    create index on ${notifications} (incident);
  end if;
end`),
  ];
}

/**
 * Makes the tables for the days of a new table. A table that exists gets none by itself: a user's
 * own may lack the columns.
 */
function daysCreation({ daily, days }: Pick<QuotedTables, "daily" | "days">): string[] {
  const columns = Object.entries(DAILY_COLUMNS).map(([name, type]) => `  ${name} ${type},\n`);
  return [
    `create table if not exists ${daily} (\n${columns.join("")}  primary key (address, day, location)\n)`,
    // PostgreSQL chooses the name: another relation may have any that is chosen here.
    doBlock(`begin
  if not exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = ${quoteLiteral(daily)}::regclass and a.attname = 'day')
  then
    create index on ${daily} (day);
  end if;
end`),
    `create table if not exists ${days} (\n  day date primary key,\n  stale boolean not null default true,\n` +
    `  roller uuid,\n  rolled_to text,\n  bitten_at timestamptz,\n  rolled_up_at timestamptz\n)`,
  ];
}

/**
 * Makes the index that serves "this address, newest first", and recognises a metric that was sent
 * twice. Not by `if not exists`: that asks for the name, which a renamed table's index keeps.
 */
function indexSql(main: string, name: string): string {
  const definition = `on ${main} (address, scheduled_at desc, check_id)`;
  return doBlock(`begin
  if not exists (select from pg_index i where i.indrelid = ${quoteLiteral(main)}::regclass and i.indisunique and
    (select array_agg(a.attname::text order by a.attname) from pg_attribute a
     where a.attrelid = i.indrelid and a.attnum = any(i.indkey)) = '{address,check_id,scheduled_at}')
  then
    create unique index ${name} ${definition};
  end if;
exception when duplicate_table then
  -- Another relation has this name: PostgreSQL chooses one.
  create unique index ${definition};
end`);
}

/** What a role deletes: rows of a table without parts, rejected messages, and days. */
export interface Deletions {
  readonly rows: boolean;
  readonly rejected: boolean;
  readonly daily: boolean;
}

/** Everything is kept. */
export const NO_DELETIONS: Deletions = { rows: false, rejected: false, daily: false };

/** What is deleted where so much is kept. */
export function deletionsOf({ rows, rejected, daily }: Readonly<Record<keyof Deletions, Keep>>): Deletions {
  return { rows: rows !== "all", rejected: rejected !== "all", daily: daily !== "all" };
}

/** True if the consumer keeps note of what it keeps. */
export const needsKeep = ({ rows, rejected, daily }: Deletions) => rows || rejected || daily;

/**
 * The rights that a role needs which may not create the tables. `role` is quoted, or a word that
 * stands for it. Parts go with their owner alone, so no right to delete serves for these.
 */
export function grants(
  table: TableName,
  role: string,
  deletions: Deletions = NO_DELETIONS,
  partition: Partition = "month",
): string[] {
  const { main, offsets, rejected, keep } = quoteTables(table);
  const usage = table.schema === null ? [] : [`grant usage on schema ${quoteIdentifier(table.schema)} to ${role}`];
  const deletes = (isGiven: boolean) => isGiven ? ", delete" : "";
  return [
    ...usage,
    // Recognising a metric that was sent twice reads the columns of the index. A check that comes
    // after it was told as missed takes that row's place.
    `grant select, insert, update${deletes(deletions.rows && partition === "none")} on ${main} to ${role}`,
    `grant select, insert, update, delete on ${offsets} to ${role}`,
    `grant select, insert${deletes(deletions.rejected)} on ${rejected} to ${role}`,
    ...(needsKeep(deletions) ? [`grant select, insert, update on ${keep} to ${role}`] : []),
  ];
}

/** The rights that such a role needs on the tables for the incidents. */
export function incidentGrants(table: TableName, role: string): string[] {
  const { incidents, leases, notifications } = quoteTables(table);
  return [
    `grant select, insert, update on ${incidents} to ${role}`,
    `grant select, insert, update on ${leases} to ${role}`,
    `grant select, insert, update, delete on ${notifications} to ${role}`,
  ];
}

/** The right that such a role needs on the table of the maintenance, into which people write. */
export function maintenanceGrants(table: TableName, role: string): string[] {
  return [`grant select on ${quoteTables(table).maintenance} to ${role}`];
}

/** The rights that such a role needs on the tables for the days, where the table has them. */
export function dayGrants(table: TableName, role: string): string[] {
  const { daily, days } = quoteTables(table);
  return [
    `grant select, insert, update, delete on ${daily} to ${role}`,
    `grant select, insert, update on ${days} to ${role}`,
  ];
}
