import { accessSync, constants } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { makePrivate } from "../../config/folder_lock.ts";
import { rowChecksum, totalsChecksum } from "./checksum.ts";

/** The file must not be used. The message names it and the remedy. */
export class SpoolFileError extends Error {
  override name = "SpoolFileError";
}

/** The file is broken, and we have found that, not SQLite. */
export class DamageError extends Error {
  override name = "DamageError";
}

/**
 * The format of the tables below. Format 1 had no totals, format 2 neither topics nor checksums in
 * the rows. A version that does not keep them must not write here.
 */
const FORMAT = 3;

/**
 * A note in the file about its journal. If the journal is missing, the note tells whether rows are
 * missing with it. `open`: the journal may hold rows that the file lacks. `written`: this note was
 * first written to the journal. Where the file itself has it, SQLite has copied the journal into
 * the file. `closed`: there is no journal.
 */
export type JournalNote = "open" | "written" | "closed";

/** The number of rows, about the bytes that they take, and the id of the last one. */
export interface Totals {
  readonly count: number;
  readonly bytes: number;
  readonly last: number;
}

/** A row as it is found. Damage may have put anything in the place of anything. */
export interface FoundRow {
  readonly id: number;
  readonly document: unknown;
  readonly topic: unknown;
  readonly checksum: unknown;
}

/** A row that is as it was written. */
export interface SoundRow {
  readonly id: number;
  readonly document: string;
  readonly topic: string;
}

// The journal ("write-ahead log") is synced at every commit (FULL): so a commit outlives a power
// cut. NORMAL would do for a SIGKILL only. A commit holds all metrics that came while the last one
// was under way, so syncs are few. `journal_size_limit` gives back the space of a journal that had
// to grow. Checkpoints are made by hand, so that each leaves `open` in the file.
const CONNECTION = `
  pragma busy_timeout = 1000;
  pragma journal_mode = wal;
  pragma synchronous = full;
  pragma wal_autocheckpoint = 0;
  pragma journal_size_limit = 8388608;`;

// Ids are given here and not by SQLite, which would begin anew in an empty table: they must grow
// while a program runs. `older` tells of the rows of an older format, which have neither topic nor
// checksum.
const TABLES = `
  create table if not exists waiting (id integer primary key, checksum integer, topic text, document text not null) strict;
  create table if not exists totals (count integer not null, bytes integer not null, last integer not null,
    journal text not null, checksum integer not null) strict;
  create table if not exists older (last integer not null, topic text not null) strict;
  pragma user_version = ${FORMAT};`;

/**
 * Each column of these tables, as SQLite lists it: table, name, type, whether it is never null, and
 * whether it is the key.
 */
const COLUMNS = [
  "older last INTEGER 1 0",
  "older topic TEXT 1 0",
  "totals bytes INTEGER 1 0",
  "totals checksum INTEGER 1 0",
  "totals count INTEGER 1 0",
  "totals journal TEXT 1 0",
  "totals last INTEGER 1 0",
  "waiting checksum INTEGER 0 0",
  "waiting document TEXT 1 0",
  "waiting id INTEGER 0 1",
  "waiting topic TEXT 0 0",
];

// Format 1 was also written before the topic was noted. Its rows are then for the given topic.
const FROM_OLDER = `
  create table if not exists target (topic text not null) strict;
  alter table waiting add column topic text;
  alter table waiting add column checksum integer;
  create table older (last integer not null, topic text not null) strict;
  drop table if exists totals;`;
const NOTE_OLDER = `insert into older
  select last, coalesce((select topic from target), ?) from (select max(id) as last from waiting) where last is not null`;

/**
 * A value that is no checksum becomes null: a number that JavaScript cannot hold would end the
 * reading of all rows.
 */
const ROW = "id, document, topic, case when checksum between 0 and 4294967295 then checksum end as checksum";

/** About the bytes that a row takes in the file beside its texts. */
export const ROW_BYTES = 22;
export const SIZE = `octet_length(document) + coalesce(octet_length(topic), 0) + ${ROW_BYTES}`;

/**
 * Opens the file and brings it to the present layout. `topic` is the topic of rows in an older file
 * that names none.
 */
export function openDatabase(path: string, topic: string): DatabaseSync {
  // SQLite gives the journal the rights of the file. Files that an older version left may still
  // have other rights.
  makePrivate(path, [`${path}-wal`, `${path}-shm`]);
  const database = new DatabaseSync(path);
  try {
    const version = versionOf(database);
    if (version > FORMAT) {
      throw new SpoolFileError(
        `${path} was written by a newer version: let that one send what waits in it, or name another folder`,
      );
    }
    database.exec(CONNECTION);
    if (version < FORMAT) prepareTables(database, topic);
    checkTables(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function versionOf(database: DatabaseSync): number {
  return database.prepare("pragma user_version").get()?.user_version as number;
}

/**
 * Runs in one transaction: a kill leaves the older layout, or the new one. It reads and writes no
 * row, however many there are.
 */
function prepareTables(database: DatabaseSync, topic: string): void {
  const isOlder = database.prepare("select 1 from sqlite_schema where name = 'waiting'").get() !== undefined;
  inTransaction(database, () => {
    if (isOlder) {
      database.exec(FROM_OLDER);
      database.prepare(NOTE_OLDER).run(topic);
      database.exec("drop table target");
    }
    database.exec(TABLES);
  });
}

/**
 * Throws if a name or a type in the file is damaged: SQLite finds some such rows, and reads them as
 * nothing.
 */
function checkTables(database: DatabaseSync): void {
  const found = database.prepare(`
    select concat_ws(' ', found.name, field.name, field.type, field."notnull", field.pk) as text
    from sqlite_schema as found, pragma_table_info(found.name) as field where found.name in ('waiting', 'totals', 'older')
    order by 1`).all().map(({ text }) => text);
  if (found.join() !== COLUMNS.join()) throw new DamageError("its tables are not those that were written");
}

/** Does all of `work`, or nothing. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("begin immediate");
  try {
    const result = work();
    database.exec("commit");
    return result;
  } catch (error) {
    // SQLite has rolled back some failures already.
    if (database.isTransaction) database.exec("rollback");
    throw error;
  }
}

/** Reads rows of any format, and tells which of them are as they were written. */
export class RowReader {
  /** The columns to select for `sound`. */
  readonly columns: string;
  readonly #older: { readonly last: number; readonly topic: string } | undefined;

  constructor(database: DatabaseSync, topic: string) {
    const isOlder = versionOf(database) < FORMAT;
    this.columns = isOlder ? "id, document, null as topic, null as checksum" : ROW;
    const older = () =>
      database.prepare("select last, topic from older").get() as { last: number; topic: string } | undefined;
    this.#older = isOlder ? { last: Infinity, topic: targetOf(database) ?? topic } : older();
  }

  /**
   * The row if it is sound; null if it is damaged. Rows of an older format have no checksum, and
   * are taken as they are.
   */
  sound({ id, document, topic, checksum }: FoundRow): SoundRow | null {
    if (typeof document !== "string") return null;
    if (topic === null && checksum === null && this.#older !== undefined && id <= this.#older.last) {
      return { id, document, topic: this.#older.topic };
    }
    const isSound = typeof topic === "string" && checksum === rowChecksum(id, topic, document);
    return isSound ? { id, document, topic } : null;
  }
}

function targetOf(database: DatabaseSync): string | undefined {
  const hasTarget = database.prepare("select 1 from sqlite_schema where name = 'target'").get() !== undefined;
  if (!hasTarget) return undefined;
  return database.prepare("select topic from target").get()?.topic as string | undefined;
}

/** The totals that the last write noted; null if there are none, or if they are damaged. */
export function notedTotals(database: DatabaseSync): (Totals & { readonly journal: JournalNote }) | null {
  // Read as texts: a number that JavaScript cannot hold would be an error.
  const found = database.prepare(
    "select cast(count as text) as count, cast(bytes as text) as bytes, cast(last as text) as last, journal, " +
      "cast(checksum as text) as checksum from totals",
  ).get() as Record<"count" | "bytes" | "last" | "journal" | "checksum", string> | undefined;
  if (found === undefined) return null;
  const [count, bytes, last] = [Number(found.count), Number(found.bytes), Number(found.last)];
  const isSound = Number(found.checksum) === totalsChecksum(count, bytes, last, found.journal);
  return isSound ? { count, bytes, last, journal: found.journal as JournalNote } : null;
}

/** Gives a function that notes totals, within the transaction that changes the rows. */
export function totalsNote(database: DatabaseSync): (totals: Totals, journal: JournalNote) => void {
  database.exec("insert into totals select 0, 0, 0, 'open', 0 where not exists (select 1 from totals)");
  const note = database.prepare("update totals set count = ?, bytes = ?, last = ?, journal = ?, checksum = ?");
  return ({ count, bytes, last }, journal) => {
    note.run(count, bytes, last, journal, totalsChecksum(count, bytes, last, journal));
  };
}

/** True if the header of a writable file says that the file may not be written. */
export function isWrongHeader(path: string, error: unknown): error is Error {
  return error instanceof Error && error.message.includes("readonly database") && canWrite(path);
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * As `isDamage`, for a read. Of a file that was cut short SQLite says only that it cannot be read.
 */
export function isUnreadable(error: unknown): error is Error {
  return isDamage(error) || (error instanceof Error && error.message.includes("disk I/O error"));
}

/**
 * SQLite's words about a damaged file. The later ones are about our own statements: these are
 * right, so names in the file are damaged.
 */
const DAMAGE = new RegExp(
  "malformed|not a database|unsupported|too large to be represented|no such (?:table|column)|no column named|duplicate column name|" +
    "already exists|syntax error",
);

/**
 * True if a file is broken, by SQLite's words, or by a value that we never write. Deno gives no
 * code with it.
 */
export function isDamage(error: unknown): error is Error {
  return error instanceof DamageError || (error instanceof Error && DAMAGE.test(error.message));
}
