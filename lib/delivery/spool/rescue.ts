import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { rowChecksum } from "./checksum.ts";
import {
  type FoundRow,
  inTransaction,
  isUnreadable,
  openDatabase,
  ROW_BYTES,
  RowReader,
  type SoundRow,
  totalsNote,
} from "./spool_database.ts";

/** How a file was saved that could not be used as it was. */
export interface Rescue {
  /** The fault of the file. */
  readonly reason: string;
  /** The name under which the file is kept for a person, with its journal beside it. */
  readonly kept: string;
  /** Rows in the new file. */
  readonly saved: number;
}

/** Rows that are read together, or one by one if that fails. */
const STEP = 500;
/** Reads that may fail. If no row can be found, a person has better tools. */
const MOST_FAILURES = 50_000;
/** Rows in one transaction. */
const PORTION = 20_000;

/**
 * Puts the file at `path` aside and a new one in its place. The new one has every sound row of
 * `source`, under its id. `source` is an open connection to the old file, and is closed. Throws if
 * there is no room for the new file. Nothing has changed then, and `source` is open. A kill leaves
 * the old file, or the new one that `finishRescue` puts in its place.
 */
export function rescue(path: string, source: DatabaseSync, reason: string, topic: string): Rescue {
  const fresh = freshOf(path);
  remove(fresh);
  let saved: number;
  try {
    saved = copy(source, fresh, topic);
  } catch (error) {
    remove(fresh);
    throw error;
  }
  source.close();
  const kept = freeName(path);
  renameSync(path, kept);
  moveJournal(path, kept);
  renameSync(fresh, path);
  return { reason, kept, saved };
}

/**
 * Finishes a rescue that a kill has ended, or takes it back, to be begun anew. Call it before the
 * file at `path` is opened.
 */
export function finishRescue(path: string): void {
  const fresh = freshOf(path);
  if (!existsSync(fresh)) return;
  if (existsSync(path)) return remove(fresh);
  moveJournal(path, lastKept(path));
  renameSync(fresh, path);
}

/** Puts a journal aside whose file is gone: SQLite would delete it. Null if there is none. */
export function keepLonelyJournal(path: string): Rescue | null {
  const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeOf(path) > 0 || sizeOf(`${path}-wal`) === 0) return null;
  const kept = freeName(path);
  moveJournal(path, kept);
  return { reason: "its journal is there without it", kept: `${kept}-wal`, saved: 0 };
}

const freshOf = (path: string) => `${path}.new`;

function* names(path: string): Generator<string, never> {
  yield `${path}.damaged`;
  for (let n = 2;; n++) yield `${path}.damaged-${n}`;
}

function freeName(path: string): string {
  return names(path).find((name) => !existsSync(name) && !existsSync(`${name}-wal`)) as string;
}

/** The name that was given last. */
function lastKept(path: string): string {
  let last = `${path}.damaged`;
  for (const name of names(path)) {
    if (!existsSync(name)) return last;
    last = name;
  }
  return last;
}

function moveJournal(path: string, kept: string): void {
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${kept}-wal`);
  // Worth nothing without the connections that shared it.
  rmSync(`${path}-shm`, { force: true });
}

function remove(path: string): void {
  for (const ending of ["", "-wal", "-shm", "-journal"]) rmSync(path + ending, { force: true });
}

function copy(source: DatabaseSync, path: string, topic: string): number {
  const database = openDatabase(path, topic);
  try {
    const note = totalsNote(database);
    const insert = database.prepare(
      "insert or ignore into waiting (id, document, topic, checksum) values (?, ?, ?, ?)",
    );
    const rows = soundRows(source, topic);
    let totals = { count: 0, bytes: 0, last: 0 };
    for (let isEnd = false; !isEnd;) {
      totals = inTransaction(database, () => {
        let { count, bytes, last } = totals;
        for (let n = 0; n < PORTION && !isEnd; n++) {
          const next = rows.next();
          if (next.done === true) {
            isEnd = true;
            break;
          }
          const { id, document, topic } = next.value;
          if (insert.run(id, document, topic, rowChecksum(id, topic, document)).changes === 0) continue;
          count++;
          bytes += Buffer.byteLength(document) + Buffer.byteLength(topic) + ROW_BYTES;
          last = Math.max(last, id);
        }
        note({ count, bytes, last }, "closed");
        return { count, bytes, last };
      });
      database.exec("pragma wal_checkpoint(truncate)");
    }
    return totals.count;
  } finally {
    database.close();
  }
}

/** Gives every sound row that can be found. */
function* soundRows(source: DatabaseSync, topic: string): Generator<SoundRow, void> {
  const reader = new RowReader(source, topic);
  const search = new Search(source, reader);
  const [first, last] = ends(source);
  for (let from = first; from <= last && search.failures < MOST_FAILURES; from += STEP) {
    const found = search.rows(from, from + STEP - 1);
    if (found === null) {
      // If many rows gave way, the next one is far away.
      const next = endOf(source, `select min(id) as id from waiting where id >= ${from + STEP}`);
      from = Math.max(from, (next ?? 0) - STEP);
      continue;
    }
    yield* found;
  }
}

/** Looks for rows in three ways: a damaged row hides some of its neighbours from each of them. */
class Search {
  /** Rows that were looked for alone and could not be read. */
  failures = 0;
  readonly #up: StatementSync;
  readonly #down: StatementSync;
  readonly #alone: StatementSync;
  readonly #reader: RowReader;

  constructor(source: DatabaseSync, reader: RowReader) {
    const { columns } = reader;
    this.#reader = reader;
    this.#up = source.prepare(`select ${columns} from waiting where id between ? and ? order by id`);
    this.#down = source.prepare(`select ${columns} from waiting where id between ? and ? order by id desc`);
    this.#alone = source.prepare(`select ${columns} from waiting where id = ?`);
  }

  /** The sound rows between two ids, in order; null if the file says that there are none. */
  rows(from: number, to: number): SoundRow[] | null {
    const found = new Map<number, SoundRow>();
    const isWhole = this.#gather(found, this.#up, from, to);
    if (isWhole && found.size === 0) return null;
    if (!isWhole) this.#gather(found, this.#down, from, to);
    for (let id = from; id <= to; id++) {
      if (!found.has(id) && !this.#gather(found, this.#alone, id)) this.failures++;
    }
    return [...found.values()].filter(({ id }) => id >= from && id <= to).toSorted((a, b) => a.id - b.id);
  }

  /**
   * Adds the sound rows that a statement gives until it fails. True if it does not fail. A damaged
   * row may bear the id of a sound one, and must not take its place.
   */
  #gather(found: Map<number, SoundRow>, statement: StatementSync, ...ids: number[]): boolean {
    const isDone = attempt(() => {
      for (const row of statement.iterate(...ids) as Iterable<unknown>) {
        const sound = this.#reader.sound(row as FoundRow);
        if (sound !== null) found.set(sound.id, sound);
      }
      return true;
    });
    return isDone ?? false;
  }
}

/** The first and the last id of the rows. If they cannot be found, the totals tell. */
function ends(source: DatabaseSync): [first: number, last: number] {
  const newest = endOf(source, "select max(id) as id from waiting") ?? 0;
  const last = Math.max(newest, endOf(source, "select last as id from totals") ?? 0);
  const first = endOf(source, "select min(id) as id from waiting");
  return [first ?? Math.max(1, last - MOST_FAILURES), last];
}

function endOf(source: DatabaseSync, sql: string): number | null {
  const found = attempt(() => source.prepare(sql).get()?.id);
  return typeof found === "number" && found > 0 ? found : null;
}

/** Undefined if the file is too damaged for `read`, or has no such table. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}
