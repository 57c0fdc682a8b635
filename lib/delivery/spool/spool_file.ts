import { DatabaseSync, type StatementSync } from "node:sqlite";
import { rowChecksum } from "./checksum.ts";
import { inspectJournal } from "./journal.ts";
import {
  DamageError,
  type FoundRow,
  inTransaction,
  isDamage,
  isUnreadable,
  isWrongHeader,
  type JournalNote,
  notedTotals,
  openDatabase,
  ROW_BYTES,
  RowReader,
  SIZE,
  SpoolFileError,
  type Totals,
  totalsNote,
} from "./spool_database.ts";
import { finishRescue, keepLonelyJournal, type Rescue, rescue } from "./rescue.ts";

export { isDamage, SpoolFileError } from "./spool_database.ts";
export type { Rescue } from "./rescue.ts";

/** A metric on disk: its place in the order, and its JSON document. */
export interface SpoolRow {
  readonly id: number;
  readonly document: string;
}

/** The state in which a spool file is found. */
export interface OpenedSpool {
  /** The topic of its metrics: the given one, if any of them is for it. */
  readonly topic: string;
  readonly waiting: number;
  /** The rescue, if the file could not be used as it was. */
  readonly rescue: Rescue | null;
}

/** The result of a write. */
export interface WrittenSpool {
  /** How many of the oldest rows gave way to keep the limit. */
  readonly dropped: number;
  /** How many rows are still to be read. */
  readonly unread: number;
  /** The row of the last document. The other documents have the numbers before it. */
  readonly lastId: number;
  /** The rescue, if the file was found damaged. */
  readonly rescue: Rescue | null;
}

/** The result of a read. */
export interface ReadSpool {
  readonly rows: readonly SpoolRow[];
  /** How many rows are still to be read. */
  readonly unread: number;
  /** Rows of other topics, which stay, by topic. */
  readonly others: ReadonlyMap<string, number>;
  /** The rescue, if the file was found damaged. */
  readonly rescue: Rescue | null;
}

/** Rows that are looked at together when the oldest must give way. */
const DROP_STEP = 500;
/** An emptied file with more pages than this (4 KiB each) is made small again. */
const SMALL = 2_000;
/**
 * About the pages of the journal after which they are put into the file (a checkpoint). SQLite by
 * itself takes as many.
 */
const JOURNAL_PAGES = 1_000;
const PAGE = 4_096;

/** The statements of a connection. */
class SpoolStatements {
  readonly insert: StatementSync;
  readonly remove: StatementSync;
  readonly next: StatementSync;
  readonly sizes: StatementSync;
  readonly totalOfTopic: StatementSync;
  /** The same for all topics: it costs half, and is as good if there is only one topic. */
  readonly removeUpTo: StatementSync;
  readonly totalUpTo: StatementSync;
  readonly total: StatementSync;
  readonly note: (totals: Totals, journal: JournalNote) => void;

  constructor(database: DatabaseSync, columns: string) {
    const sum = `count(*) as count, coalesce(sum(${SIZE}), 0) as bytes, coalesce(max(id), 0) as last`;
    // Rows of an older format have no topic of their own, and never stand beside rows of another
    // topic.
    const ofTopic = "(topic = ? or topic is null)";
    this.insert = database.prepare("insert into waiting (id, document, topic, checksum) values (?, ?, ?, ?)");
    this.remove = database.prepare(`delete from waiting where id <= ? and id > ? and ${ofTopic}`);
    this.next = database.prepare(`select ${columns} from waiting where id > ? order by id limit ?`);
    this.sizes = database.prepare(
      `select id, ${SIZE} as bytes from waiting where id > ? and ${ofTopic} order by id limit ${DROP_STEP}`,
    );
    this.totalOfTopic = database.prepare(`select ${sum} from waiting where id <= ? and ${ofTopic}`);
    this.removeUpTo = database.prepare("delete from waiting where id <= ?");
    this.totalUpTo = database.prepare(`select ${sum} from waiting where id <= ?`);
    this.total = database.prepare(`select ${sum} from waiting where id > ?`);
    this.note = totalsNote(database);
  }
}

/**
 * The file that holds the metrics which Kafka does not have yet. Each method runs to its end before
 * it returns, so the file belongs on a thread of its own. Metrics are read in the order in which
 * they were written, each once while the file is open.
 *
 * Only rows that are as they were written are given out. Nothing is written to a damaged file: if
 * two rows lead to the same page, removing one would destroy the other. A new file with all sound
 * rows takes its place (rescue.ts).
 */
export class SpoolFile implements Disposable {
  readonly #path: string;
  readonly #topic: string;
  readonly #limit: number;
  #database: DatabaseSync;
  #reader: RowReader;
  #statements: SpoolStatements;
  #lastId = 0;
  #lastRead = 0;
  #unread = 0;
  #count = 0;
  #bytes = 0;
  /** True once rows of other topics were read: delivered rows may stand between them. */
  #hasOthers = false;
  /**
   * By about how many pages the journal has grown since the last checkpoint. Infinity where there
   * is no journal yet: the next write then notes `open` and makes a checkpoint. From then on the
   * file itself says that a journal belongs to it.
   */
  #journalPages = Infinity;

  private constructor(database: DatabaseSync, path: string, topic: string, limit: number) {
    this.#path = path;
    this.#topic = topic;
    this.#limit = limit;
    this.#database = database;
    this.#reader = new RowReader(database, topic);
    this.#statements = new SpoolStatements(database, this.#reader.columns);
    this.#readTotals();
    this.#unread = this.#count;
  }

  /**
   * Opens a file, and makes it if it is missing. It reads and writes rows for `topic`. About
   * `limit` bytes may wait. If the journal is missing or damaged, the rest of the file is put into
   * a new file. Throws `SpoolFileError` if the damage is such that not even the tables are found.
   * Throws it also if a newer version wrote the file.
   */
  static open(path: string, topic: string, limit: number): { file: SpoolFile } & OpenedSpool {
    try {
      finishRescue(path);
      const lonely = keepLonelyJournal(path);
      const [database, rescued] = openSound(path, topic);
      try {
        const file = new SpoolFile(database, path, topic, limit);
        return { file, ...file.#found(), rescue: rescued ?? lonely };
      } catch (error) {
        database.close();
        throw error;
      }
    } catch (error) {
      throw isUnreadable(error) || isWrongHeader(path, error) ? damaged(path, error.message) : error;
    }
  }

  /** The next rows that were not read yet, oldest first. */
  read(count: number): ReadSpool {
    try {
      return this.#read(count);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const rescued = this.#rescue(error.message);
      return { rows: [], unread: this.#unread, others: new Map(), rescue: rescued };
    }
  }

  #read(count: number): ReadSpool {
    const found = this.#statements.next.all(this.#lastRead, count) as unknown as FoundRow[];
    if (!isInOrder(found, this.#lastRead, this.#lastId)) throw new DamageError("its rows are out of order");
    const rows: SpoolRow[] = [];
    const others = new Map<string, number>();
    for (const row of found) {
      const sound = this.#reader.sound(row);
      if (sound === null) throw new DamageError("some rows are not as they were written");
      if (sound.topic === this.#topic) rows.push({ id: row.id, document: sound.document });
      else others.set(sound.topic, (others.get(sound.topic) ?? 0) + 1);
    }
    // Counted rows went without us, or stand where SQLite does not find them. Nobody may wait for
    // them: they would never come.
    if (found.length < count && found.length !== this.#unread) {
      throw new DamageError("some rows are not in their place");
    }
    this.#hasOthers ||= others.size > 0;
    this.#lastRead = found.at(-1)?.id ?? this.#lastRead;
    this.#unread -= found.length;
    return { rows, unread: this.#unread, others, rescue: null };
  }

  /**
   * Works in one transaction. It removes delivered rows, up to and with row `deliveredUpTo`, and
   * adds documents. Where the file then exceeds its limit, the oldest unread rows are dropped. Rows
   * that were read are kept: they are on their way to Kafka.
   *
   * The first `out` documents are on their way too: they were given out before they were on disk.
   * They count as read. So `out` may be above 0 only when all rows in the file were read.
   */
  write(documents: readonly string[], deliveredUpTo: number, out = 0): WrittenSpool {
    try {
      return { ...this.#write(documents, deliveredUpTo, out), rescue: null };
    } catch (error) {
      if (!isDamage(error)) throw error;
      const rescued = this.#rescue(error.message);
      return { ...this.#write(documents, deliveredUpTo, out), rescue: rescued };
    }
  }

  #write(documents: readonly string[], deliveredUpTo: number, out: number): Omit<WrittenSpool, "rescue"> {
    if (out > 0 && this.#unread > 0) throw new RangeError("Rows that were not read would be taken for read");
    const removed = this.#totalDelivered(deliveredUpTo);
    const isCheckpoint = this.#journalPages > JOURNAL_PAGES;
    const lastRead = out > 0 ? this.#lastId + out : this.#lastRead;
    const before = this.#bytes;
    const { dropped, ...totals } = inTransaction(this.#database, () => {
      let bytes = before - removed.bytes;
      if (removed.count > 0) this.#removeDelivered(deliveredUpTo);
      let last = this.#lastId;
      for (const document of documents) {
        this.#statements.insert.run(++last, document, this.#topic, rowChecksum(last, this.#topic, document));
        bytes += Buffer.byteLength(document) + ROW_BYTES + this.#topic.length;
      }
      const dropped = bytes > this.#limit ? this.#drop(bytes - this.#limit, lastRead) : { count: 0, bytes: 0 };
      const count = this.#count - removed.count + documents.length - dropped.count;
      const totals = { count, bytes: bytes - dropped.bytes, last };
      this.#statements.note(totals, isCheckpoint ? "open" : "written");
      return { ...totals, dropped: dropped.count };
    });
    const written = totals.bytes + removed.bytes - before;
    this.#journalPages += 3 + Math.ceil((Math.abs(written) + removed.bytes) / PAGE);
    [this.#bytes, this.#count, this.#lastId, this.#lastRead] = [totals.bytes, totals.count, totals.last, lastRead];
    this.#unread += documents.length - out - dropped;
    if (isCheckpoint) this.#checkpoint();
    if (this.#count === 0) this.#shrink();
    return { dropped, unread: this.#unread, lastId: this.#lastId };
  }

  /**
   * Closes the file, and notes in it that there is no journal. If that cannot be written, the
   * journal stays, as after a kill.
   */
  [Symbol.dispose](): void {
    try {
      this.#note("closed");
    } catch {
      // On a full disk, for example: the journal leaves room once its content is in the file.
      attempt(() => this.#database.exec("pragma wal_checkpoint(truncate)"));
      attempt(() => this.#note("closed"));
    }
    this.#database.close();
  }

  /**
   * The topic of the waiting rows, by the oldest and the newest. It is the given topic if one of
   * the two is for it, or if none waits.
   */
  #found(): Omit<OpenedSpool, "rescue"> {
    const { columns } = this.#reader;
    const topics = ["", "desc"].map((order) => {
      const row = this.#database.prepare(`select ${columns} from waiting order by id ${order} limit 1`).get();
      return row === undefined ? null : this.#reader.sound(row as unknown as FoundRow)?.topic ?? null;
    });
    const other = topics.find((topic) => topic !== null);
    const topic = other === undefined || topics.includes(this.#topic) ? this.#topic : other as string;
    return { topic, waiting: this.#unread };
  }

  /**
   * Takes the totals that the last write noted, or sums up the rows if that note is damaged or
   * missing.
   */
  #readTotals(): void {
    const { count, bytes, last } = notedTotals(this.#database) ??
      { ...this.#totalAfter(0), last: newestId(this.#database) };
    [this.#count, this.#bytes] = [count, bytes];
    this.#lastId = Math.max(this.#lastId, last);
  }

  /**
   * The totals of the rows up to a delivered one. All of them were read, so it is known whether
   * others are among them.
   */
  #totalDelivered(id: number): Totals {
    const { totalOfTopic, totalUpTo } = this.#statements;
    return (this.#hasOthers ? totalOfTopic.get(id, this.#topic) : totalUpTo.get(id)) as unknown as Totals;
  }

  #removeDelivered(id: number): void {
    if (this.#hasOthers) this.#statements.remove.run(id, 0, this.#topic);
    else this.#statements.removeUpTo.run(id);
  }

  #totalAfter(id: number): Totals {
    return this.#statements.total.get(id) as unknown as Totals;
  }

  /** Removes the oldest rows after `lastRead` that hold `excess` bytes together, or all of them. */
  #drop(excess: number, lastRead: number): { count: number; bytes: number } {
    let [count, bytes, last] = [0, 0, lastRead];
    while (bytes < excess) {
      const rows = this.#statements.sizes.all(last, this.#topic) as unknown as { id: number; bytes: number }[];
      if (rows.length === 0) break;
      for (const row of rows) {
        if (bytes >= excess) break;
        [count, bytes, last] = [count + 1, bytes + row.bytes, row.id];
      }
    }
    this.#statements.remove.run(last, lastRead, this.#topic);
    return { count, bytes };
  }

  /**
   * Goes on with a new file that holds the sound rows of this one. Read rows stay read: they are on
   * their way.
   */
  #rescue(reason: string): Rescue {
    const rescued = tryRescue(this.#path, this.#database, reason, this.#topic);
    this.#database = openDatabase(this.#path, this.#topic);
    this.#reader = new RowReader(this.#database, this.#topic);
    this.#statements = new SpoolStatements(this.#database, this.#reader.columns);
    this.#readTotals();
    this.#journalPages = Infinity;
    this.#unread = this.#totalAfter(this.#lastRead).count;
    return rescued;
  }

  #note(journal: JournalNote): void {
    const totals = { count: this.#count, bytes: this.#bytes, last: this.#lastId };
    inTransaction(this.#database, () => this.#statements.note(totals, journal));
  }

  /** Puts the journal's content into the file. The next write begins the journal anew. */
  #checkpoint(): void {
    // If it fails, on a full disk for example, nothing is lost: the journal stays as it is.
    attempt(() => this.#database.exec("pragma wal_checkpoint(passive)"));
    this.#journalPages = 0;
  }

  /**
   * Writes an emptied file anew, which costs next to nothing. After a long absence of Kafka it is
   * as large as it ever was.
   */
  #shrink(): void {
    const pages = this.#database.prepare("pragma page_count").get()?.page_count as number;
    if (pages <= SMALL) return;
    attempt(() => {
      this.#database.exec("vacuum");
      this.#note("closed");
      this.#database.exec("pragma wal_checkpoint(truncate)");
      this.#journalPages = Infinity;
    });
  }
}

/** For work that may fail on a full disk: the content of the file is as good as before. */
function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // See above.
  }
}

/** Opens a file whose journal is sound, or a new file with the rows that can be saved. */
function openSound(path: string, topic: string): [DatabaseSync, Rescue | null] {
  const journal = inspectJournal(path);
  if (journal === "damaged") {
    // Read-only. If not, SQLite would take the journal's first part into the file and delete the
    // rest.
    const source = new DatabaseSync(path, { readOnly: true });
    return saved(path, source, "a part of its journal cannot be read", topic);
  }
  const database = openDatabase(path, topic);
  const noted = notedTotals(database);
  if (noted === null) return [database, null];
  if (journal === "none" && noted.journal === "open") {
    return saved(path, database, "its journal is missing, and what stood there only", topic);
  }
  // Nobody knows which rows are gone: their ids may be damaged.
  const newest = newestId(database);
  const isSound = newest === noted.last || (newest === 0 && noted.count === 0);
  return isSound
    ? [database, null]
    : saved(path, database, "its newest row is not the one that was written last", topic);
}

/** The id of the newest row; 0 if there is none. */
function newestId(database: DatabaseSync): number {
  return database.prepare("select coalesce(max(id), 0) as id from waiting").get()?.id as number;
}

function saved(path: string, source: DatabaseSync, reason: string, topic: string): [DatabaseSync, Rescue] {
  try {
    const rescued = tryRescue(path, source, reason, topic);
    return [openDatabase(path, topic), rescued];
  } finally {
    if (source.isOpen) source.close();
  }
}

/** A failure says what was wrong with the file and with its rescue, such as a full disk. */
function tryRescue(path: string, source: DatabaseSync, reason: string, topic: string): Rescue {
  try {
    return rescue(path, source, reason, topic);
  } catch (error) {
    throw new DamageError(`${reason}, and a new file with its rows cannot be made: ${(error as Error).message}`);
  }
}

/** True if ids grow, from beyond `after` up to `last`, as SQLite gives them of a sound file. */
function isInOrder(rows: readonly FoundRow[], after: number, last: number): boolean {
  let before = after;
  return rows.every(({ id }) => {
    const isNext = id > before && id <= last;
    before = id;
    return isNext;
  });
}

function damaged(path: string, what: string): SpoolFileError {
  return new SpoolFileError(
    `${path} is damaged (${what}): move it away to begin with an empty spool; what waits in it may still be read with ` +
      `sqlite3 ${path} .recover`,
  );
}
