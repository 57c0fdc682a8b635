import { accessSync, constants } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { makePrivate } from "../../config/folder_lock.ts";
import { rowChecksum, totalsChecksum } from "./checksum.ts";

/** The file is not to be used: the message names it and the remedy. */
export class SpoolFileError extends Error {
  override name = "SpoolFileError";
}

/** The file is broken, as we find where SQLite has not. */
export class DamageError extends Error {
  override name = "DamageError";
}

/**
 * Of the tables below. Format 1 had no totals, format 2 neither topics nor checksums in the rows; a
 * version that does not keep them must not write here.
 */
const FORMAT = 3;

/**
 * What a reader of the file alone, without its journal, must know. `open`: more may stand in the
 * journal. `written`: this stood in the journal, so who finds it in the file has all that the
 * journal held. `closed`: there is no journal.
 */
export type JournalNote = "open" | "written" | "closed";

/** Rows, the bytes they take, about, and the last one's id. */
export interface Totals {
  readonly count: number;
  readonly bytes: number;
  readonly last: number;
}

/** A row as it is found; damage may have put anything in the place of anything. */
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

// The journal ("write-ahead log") is synced at every commit (FULL): what a commit said is on disk outlives a power cut, not
// only a SIGKILL, for which NORMAL would do. A commit holds all that came while the last one was under way, which makes the
// syncs few. `journal_size_limit` gives back the space of a journal that had to grow. Checkpoints are made by hand, so that each leaves
// `open` in the file.
const CONNECTION = `
  pragma busy_timeout = 1000;
  pragma journal_mode = wal;
  pragma synchronous = full;
  pragma wal_autocheckpoint = 0;
  pragma journal_size_limit = 8388608;`;

// Ids are given here and not by SQLite, which would begin anew where the table was empty: they must grow while a program runs.
// `older` tells of the rows that an older format wrote, which have neither topic nor checksum.
const TABLES = `
  create table if not exists waiting (id integer primary key, checksum integer, topic text, document text not null) strict;
  create table if not exists totals (count integer not null, bytes integer not null, last integer not null,
    journal text not null, checksum integer not null) strict;
  create table if not exists older (last integer not null, topic text not null) strict;
  pragma user_version = ${FORMAT};`;

/**
 * Each column of these tables, as SQLite lists it: its name, its type, whether it is never null,
 * and whether it is the key.
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

// Format 1 was also written before the topic was noted; what waits there is then for the topic that is given.
const FROM_OLDER = `
  create table if not exists target (topic text not null) strict;
  alter table waiting add column topic text;
  alter table waiting add column checksum integer;
  create table older (last integer not null, topic text not null) strict;
  drop table if exists totals;`;
const NOTE_OLDER = `insert into older
  select last, coalesce((select topic from target), ?) from (select max(id) as last from waiting) where last is not null`;

/** A checksum that is none is null: a number that JavaScript cannot hold would end the reading of all rows. */
const ROW = "id, document, topic, case when checksum between 0 and 4294967295 then checksum end as checksum";

/** What a row takes in the file beside its texts, in bytes; about. */
export const ROW_BYTES = 22;
export const SIZE = `octet_length(document) + coalesce(octet_length(topic), 0) + ${ROW_BYTES}`;

/**
 * Opens the file and brings it to the present layout. `topic` is that of rows of which no file of
 * an older format says one.
 */
export function openDatabase(path: string, topic: string): DatabaseSync {
  // SQLite gives the journal the rights of the file; those of an older version may still be there.
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
 * In one transaction: a kill leaves the older layout, or the new one. No row is read or written for
 * it, however many there are.
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

/** Throws where a name or a type in the file is damaged: some such rows are found, and read as nothing. */
function checkTables(database: DatabaseSync): void {
  const found = database.prepare(`
    select concat_ws(' ', found.name, field.name, field.type, field."notnull", field.pk) as text
    from sqlite_schema as found, pragma_table_info(found.name) as field where found.name in ('waiting', 'totals', 'older')
    order by 1`).all().map(({ text }) => text);
  if (found.join() !== COLUMNS.join()) throw new DamageError("its tables are not those that were written");
}

/** Does all or nothing. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("begin immediate");
  try {
    const result = work();
    database.exec("commit");
    return result;
  } catch (error) {
    // Of some failures SQLite has rolled back already.
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
   * The row, where it is sound; null where it is damaged. Rows of an older format have no checksum:
   * they are taken as they are.
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

/** What a write noted last; null where nothing was, or it is damaged. */
export function notedTotals(database: DatabaseSync): (Totals & { readonly journal: JournalNote }) | null {
  // As texts: a number that JavaScript cannot hold would be an error.
  const found = database.prepare(
    "select cast(count as text) as count, cast(bytes as text) as bytes, cast(last as text) as last, journal, " +
      "cast(checksum as text) as checksum from totals",
  ).get() as Record<"count" | "bytes" | "last" | "journal" | "checksum", string> | undefined;
  if (found === undefined) return null;
  const [count, bytes, last] = [Number(found.count), Number(found.bytes), Number(found.last)];
  const isSound = Number(found.checksum) === totalsChecksum(count, bytes, last, found.journal);
  return isSound ? { count, bytes, last, journal: found.journal as JournalNote } : null;
}

/** A function that notes totals, within the transaction that changes the rows. */
export function totalsNote(database: DatabaseSync): (totals: Totals, journal: JournalNote) => void {
  database.exec("insert into totals select 0, 0, 0, 'open', 0 where not exists (select 1 from totals)");
  const note = database.prepare("update totals set count = ?, bytes = ?, last = ?, journal = ?, checksum = ?");
  return ({ count, bytes, last }, journal) => {
    note.run(count, bytes, last, journal, totalsChecksum(count, bytes, last, journal));
  };
}

/** True where the header of a file that may be written says that it may not. */
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

/** As `isDamage`, where nothing was written: a file that was cut short says no more than that it cannot be read. */
export function isUnreadable(error: unknown): error is Error {
  return isDamage(error) || (error instanceof Error && error.message.includes("disk I/O error"));
}

/**
 * What SQLite says of a damaged file; then of our own statements, which are right, where the names
 * in the file are damaged.
 */
const DAMAGE = new RegExp(
  "malformed|not a database|unsupported|too large to be represented|no such (?:table|column)|no column named|duplicate column name|" +
    "already exists|syntax error",
);

/** True where a file is broken, by what SQLite says, or by a number that we never write. Deno gives no code with it. */
export function isDamage(error: unknown): error is Error {
  return error instanceof DamageError || (error instanceof Error && DAMAGE.test(error.message));
}
