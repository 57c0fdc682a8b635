import { DatabaseSync, type StatementSync } from "node:sqlite";

/** A metric on disk: its place in the order, and its JSON document. */
export interface SpoolRow {
  readonly id: number;
  readonly document: string;
}

/** What a spool file is found with. */
export interface OpenedSpool {
  /** The topic that its metrics were made for. */
  readonly topic: string;
  readonly waiting: number;
}

/** What came of a write. */
export interface WrittenSpool {
  /** How many of the oldest gave way to keep the bound. */
  readonly dropped: number;
  /** How many rows are still to be read. */
  readonly unread: number;
  /** The row of the last document; those of the others are the numbers before it. */
  readonly lastId: number;
}

/** What came of a reading. */
export interface ReadSpool {
  readonly rows: readonly SpoolRow[];
  /** How many rows are still to be read. */
  readonly unread: number;
}

/** Rows, the bytes they take, about, and the last one's id. */
interface Totals {
  readonly count: number;
  readonly bytes: number;
  readonly last: number;
}

/** The file is not to be used: the message names it and the remedy. */
export class SpoolFileError extends Error {
  override name = "SpoolFileError";
}

/** Of the tables below. Format 1 had no totals; a version that does not keep them must not write here. */
const FORMAT = 2;

// The journal ("write-ahead log") is synced at every commit (FULL): what a commit said is on disk outlives a power cut, not
// only a SIGKILL, for which NORMAL would do. A commit holds all that came while the last one was under way, which makes the
// syncs few. `journal_size_limit` gives back the space of a journal that had to grow.
const CONNECTION = `
  pragma busy_timeout = 1000;
  pragma journal_mode = wal;
  pragma synchronous = full;
  pragma journal_size_limit = 8388608;`;

// Ids are given here and not by SQLite, which would begin anew where the table was empty: they must grow while a program runs.
const TABLES = `
  begin immediate;
  create table if not exists waiting (id integer primary key, document text not null) strict;
  create table if not exists target (topic text not null) strict;
  create table if not exists totals (count integer not null, bytes integer not null, last integer not null) strict;
  pragma user_version = ${FORMAT};
  commit;`;

/** What a row takes in the file beside its document, in bytes; about. */
const ROW_BYTES = 16;
/** Beyond every row. */
const EVERYTHING = Number.MAX_SAFE_INTEGER;
/** Rows that are looked at together when the oldest must give way. */
const DROP_STEP = 500;
/** An emptied file with more pages than this (4 KiB each) is made small again. */
const SMALL = 2_000;

/**
 * The file that holds the metrics which Kafka does not have yet. Each method runs to its end before it returns: it belongs
 * on a thread of its own. Metrics are read in the order in which they were written, each once while the file is open.
 */
export class SpoolFile implements Disposable {
  readonly #database: DatabaseSync;
  readonly #limit: number;
  readonly #insert: StatementSync;
  readonly #remove: StatementSync;
  readonly #next: StatementSync;
  readonly #sizes: StatementSync;
  readonly #total: StatementSync;
  readonly #note: StatementSync;
  #lastId: number;
  #lastRead = 0;
  #unread: number;
  #count: number;
  #bytes: number;

  private constructor(database: DatabaseSync, limit: number) {
    this.#database = database;
    this.#limit = limit;
    this.#insert = database.prepare("insert into waiting (id, document) values (?, ?)");
    this.#remove = database.prepare("delete from waiting where id <= ? and id > ?");
    this.#next = database.prepare("select id, document from waiting where id > ? order by id limit ?");
    this.#sizes = database.prepare(
      `select id, octet_length(document) + ${ROW_BYTES} as bytes from waiting where id > ? order by id limit ${DROP_STEP}`,
    );
    this.#total = database.prepare(
      `select count(*) as count, coalesce(sum(octet_length(document) + ${ROW_BYTES}), 0) as bytes,
              coalesce(max(id), 0) as last
       from waiting where id <= ?`,
    );
    this.#note = database.prepare("update totals set count = ?, bytes = ?, last = ?");
    const { count, bytes, last } = this.#knownTotals() ?? this.#totalUpTo(EVERYTHING);
    [this.#unread, this.#count, this.#bytes, this.#lastId] = [count, count, bytes, last];
  }

  /**
   * Opens a file, and makes it where it is missing. A file in which nothing waits takes `topic` for its own. `limit`: about
   * as many bytes may wait. Throws `SpoolFileError` where it is damaged, or written by a newer version.
   */
  static open(path: string, topic: string, limit: number): { file: SpoolFile } & OpenedSpool {
    const database = new DatabaseSync(path);
    try {
      const version = database.prepare("pragma user_version").get()?.user_version as number;
      if (version > FORMAT) {
        throw new SpoolFileError(
          `${path} was written by a newer version: let that one send what waits in it, or name another folder`,
        );
      }
      database.exec(CONNECTION + TABLES);
      // Looks at a few pages only: the checks wait for it, and a gibibyte is seconds of a disk. Damage elsewhere shows when it is read.
      const file = new SpoolFile(database, limit);
      return { file, topic: file.#claim(topic), waiting: file.#unread };
    } catch (error) {
      database.close();
      throw isDamage(error) ? damaged(path, error.message) : error;
    }
  }

  /** The next rows that were not read yet, oldest first. */
  read(count: number): ReadSpool {
    const rows = this.#next.all(this.#lastRead, count) as unknown as SpoolRow[];
    this.#lastRead = rows.at(-1)?.id ?? this.#lastRead;
    this.#unread -= rows.length;
    // Rows that the totals tell of went without us, by a repair of the file for one. Waited for, they would never come.
    if (rows.length < count && this.#unread !== 0) this.#recount();
    return { rows, unread: this.#unread };
  }

  /** All rows are read: there are as many as are found now. */
  #recount(): void {
    const { count, bytes } = this.#totalUpTo(EVERYTHING);
    [this.#unread, this.#count, this.#bytes] = [0, count, bytes];
  }

  /**
   * In one transaction: removes what was delivered, up to and with row `deliveredUpTo`, and adds documents. Where the bound
   * is passed, the oldest that were not read yet give way: those that were read are on their way. So are the first `out` of the
   * documents: they count as read, and are written only when all before them were.
   */
  write(documents: readonly string[], deliveredUpTo: number, out = 0): WrittenSpool {
    if (out > 0 && this.#unread > 0) throw new RangeError("Rows that were not read would be taken for read");
    const removed = this.#totalUpTo(deliveredUpTo);
    let bytes = this.#bytes - removed.bytes;
    let count = this.#count - removed.count + documents.length;
    let lastId = this.#lastId;
    const lastRead = out > 0 ? lastId + out : this.#lastRead;
    let dropped = { count: 0, bytes: 0 };
    this.#database.exec("begin immediate");
    try {
      if (removed.count > 0) this.#remove.run(deliveredUpTo, 0);
      for (const document of documents) {
        this.#insert.run(++lastId, document);
        bytes += Buffer.byteLength(document) + ROW_BYTES;
      }
      if (bytes > this.#limit) dropped = this.#drop(bytes - this.#limit, lastRead);
      bytes -= dropped.bytes;
      count -= dropped.count;
      this.#note.run(count, bytes, lastId);
      this.#database.exec("commit");
    } catch (error) {
      // Of some failures SQLite has rolled back already.
      if (this.#database.isTransaction) this.#database.exec("rollback");
      throw error;
    }
    this.#bytes = bytes;
    this.#count = count;
    this.#lastId = lastId;
    this.#lastRead = lastRead;
    this.#unread += documents.length - out - dropped.count;
    if (count === 0) this.#shrink();
    return { dropped: dropped.count, unread: this.#unread, lastId };
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /** The topic of the rows that wait; the given one where none does. */
  #claim(topic: string): string {
    const found = this.#database.prepare("select topic from target").get()?.topic as string | undefined;
    if (found !== undefined && this.#unread > 0) return found;
    if (found !== topic) {
      this.#database.exec("begin immediate; delete from target");
      this.#database.prepare("insert into target (topic) values (?)").run(topic);
      this.#database.exec("commit");
    }
    return topic;
  }

  /** The totals that the last write noted; null where it noted none, or the rows are not those of then. */
  #knownTotals(): Totals | null {
    const known = this.#database.prepare("select count, bytes, last from totals").get() as unknown as
      | Totals
      | undefined;
    if (known === undefined) this.#database.exec("insert into totals values (0, 0, 0)");
    const { last } = this.#database.prepare("select max(id) as last from waiting").get() as { last: number | null };
    const isKnown = known !== undefined && (last === null ? known.count === 0 : known.last === last);
    return isKnown ? known : null;
  }

  #totalUpTo(id: number): Totals {
    return this.#total.get(id) as unknown as Totals;
  }

  /** Removes the oldest rows after `lastRead` that hold `excess` bytes together, or all of them. */
  #drop(excess: number, lastRead: number): { count: number; bytes: number } {
    let [count, bytes, last] = [0, 0, lastRead];
    while (bytes < excess) {
      const rows = this.#sizes.all(last) as unknown as { id: number; bytes: number }[];
      if (rows.length === 0) break;
      for (const row of rows) {
        if (bytes >= excess) break;
        [count, bytes, last] = [count + 1, bytes + row.bytes, row.id];
      }
    }
    this.#remove.run(last, lastRead);
    return { count, bytes };
  }

  /** After a long absence of Kafka the file is as large as it ever was; emptied, it costs next to nothing to write it anew. */
  #shrink(): void {
    const pages = this.#database.prepare("pragma page_count").get()?.page_count as number;
    if (pages <= SMALL) return;
    try {
      this.#database.exec("vacuum; pragma wal_checkpoint(truncate)");
    } catch {
      // A full disk: what is in the file is as good as before.
    }
  }
}

/** True where SQLite says that a file is broken. Deno gives no code with it. */
export function isDamage(error: unknown): error is Error {
  return error instanceof Error && /malformed|not a database/.test(error.message);
}

function damaged(path: string, what: string): SpoolFileError {
  return new SpoolFileError(
    `${path} is damaged (${what}): move it away to begin with an empty spool; what waits in it may still be read with ` +
      `sqlite3 ${path} .recover`,
  );
}
