import { type Database, explain, remedyFor, SetupError, sqlFailure } from "./database.ts";
import { isRejection, type Rejection } from "./metric.ts";
import { arrayText, ascii } from "./pg_text.ts";
import { cut, type Entry, type Piece, portions, type Source, type Span } from "./store/piece.ts";
import type { TableName } from "./schema.ts";
import { joinSheets, type Sheet, toSheet } from "./store/sheet.ts";
import { claimSql, flushSql, forgetSql, marksSql, skipSql } from "./store/statements.ts";
import { indexName, lookUpIndex } from "./store/catalog.ts";
import { lookAgain, prepareTables, type Tables } from "./store/tables.ts";

export type { Entry, Source, Span } from "./store/piece.ts";
export type { Sheet } from "./store/sheet.ts";

/** Messages stored by this store since it was opened; what somebody else had stored before is not counted. */
export interface Counters {
  /** In the table; where a metric came again under a new offset, each time. */
  readonly rows: number;
  readonly rejected: number;
  /** Checks that were missed, for which the table has no `error` column to say so. */
  readonly missedDropped: number;
}

/** "stored": every message is in the table or among the rejected. "reopen": read again from the marks. */
export type Outcome = "stored" | "reopen";

/** Bytes of messages in one statement: far below what PostgreSQL takes as one value, and what a text may hold here. */
const MAX_STATEMENT_BYTES = 16 * 1024 * 1024;
const MAX_REASON_LENGTH = 1000;
/** Milliseconds until a column that refused null is looked up again: of many parts it takes a while. */
const LOOK_INTERVAL = 60_000;

/**
 * A table of metrics, the marks that tell how far each topic partition is stored in it, and the messages that could not be
 * rows. Retries nothing: after a failure for which `remedyFor` says "wait", the same call may be repeated, and stores
 * nothing twice.
 */
export class Store {
  readonly #database: Database;
  #tables: Tables;
  /** Indexes and columns that were looked up during the flush under way, and that its rows are refused by all the same. */
  readonly #strangers = new Set<string>();
  /** When a column that refused null was last looked up, by `performance.now()`. */
  readonly #looked = new Map<string, number>();
  #counters: Counters = { rows: 0, rejected: 0, missedDropped: 0 };

  private constructor(database: Database, tables: Tables) {
    this.#database = database;
    this.#tables = tables;
  }

  /**
   * Creates what is missing of the tables and looks at what is there. Throws `SetupError`, with the statements to run, where
   * the role may not create them or the table cannot take metrics.
   */
  static async open(database: Database, table: TableName): Promise<Store> {
    return new Store(database, await prepareTables(database, table));
  }

  /** What a person should know of the table, one line each: a schema that was created, columns that are left alone. */
  get warnings(): readonly string[] {
    return this.#tables.warnings;
  }

  get counters(): Counters {
    return this.#counters;
  }

  /** The marks of these partitions: the offset to read next. A partition without one gets that in `starts` first. */
  async claim(source: Source, starts: ReadonlyMap<number, number>): Promise<Map<number, number>> {
    const partitions = arrayText([...starts.keys()]);
    const offsets = arrayText([...starts.values()]);
    await this.#database.query(claimSql(this.#tables), [source.topicId, partitions, offsets, source.topic]);
    const rows = await this.#database.query<{ partition: number; mark: unknown }>(
      marksSql(this.#tables),
      [source.topicId, partitions],
    );
    return new Map(rows.map(({ partition, mark }) => [partition, Number(mark)]));
  }

  /** Writes messages as the statement takes them: work that can be done while the database is busy. */
  sheet(entries: readonly Entry[]): Sheet {
    return toSheet(entries, this.#tables);
  }

  /**
   * Stores messages, given in the order they arrived in, and moves the marks of their partitions. What is below a mark is
   * left out. A message that the database refuses goes to the rejected, the others are stored.
   * "reopen" where a mark is missing or stands before a span: nothing of that partition is stored then.
   */
  async flush(source: Source, spans: ReadonlyMap<number, Span>, entries: readonly Entry[]): Promise<Outcome> {
    return await this.flushSheets(source, spans, [this.sheet(entries)]);
  }

  /** As `flush`, with what `sheet` has made of the messages, in their order. */
  async flushSheets(
    source: Source,
    spans: ReadonlyMap<number, Span>,
    sheets: readonly Sheet[],
  ): Promise<Outcome> {
    this.#strangers.clear();
    const bytes = sheets.reduce((sum, sheet) => sum + sheet.bytes, 0);
    if (bytes <= MAX_STATEMENT_BYTES) return await this.#store(source, spans, sheets, false);
    return await this.#storeInOrder(source, portions(toPiece(spans, sheets), MAX_STATEMENT_BYTES), false);
  }

  /** Deletes the marks of a source that will not be read again. What was stored of it is on the disk then. */
  async forget(source: Source): Promise<void> {
    await this.#database.query(forgetSql(this.#tables), [source.topicId]);
  }

  /**
   * Moves a mark from `from` to `to`, in either direction, and records the reason as one row of the rejected.
   * False where the mark stood elsewhere: then nothing is changed.
   */
  async skip(source: Source, partition: number, from: number, to: number, reason: string): Promise<boolean> {
    const { topic, topicId } = source;
    const parameters = [topicId, String(partition), String(from), String(to), topic, ascii(reason)];
    const moved = await this.#database.query(skipSql(this.#tables), parameters);
    if (moved.length > 0) this.#counters = { ...this.#counters, rejected: this.#counters.rejected + 1 };
    return moved.length > 0;
  }

  /** Halves until the message at fault is alone: about 2·log2(n) statements for each, and its neighbours are stored. */
  async #store(
    source: Source,
    spans: ReadonlyMap<number, Span>,
    sheets: readonly Sheet[],
    skipRepeats: boolean,
  ): Promise<Outcome> {
    try {
      return await this.#run(source, spans, sheets, skipRepeats);
    } catch (error) {
      if (await this.#mayPass(error, skipRepeats)) return await this.#store(source, spans, sheets, true);
      if (await this.#hasNewDefault(error)) {
        return await this.#store(source, spans, sheets.map(({ entries }) => this.sheet(entries)), skipRepeats);
      }
      if (remedyFor(error) !== "row") throw error;
      if (this.#isUnwrittenColumn(error)) throw new SetupError(explain(error), { cause: error });
      const piece = toPiece(spans, sheets);
      const [first] = piece.entries;
      if (piece.entries.length > 1) {
        return await this.#storeInOrder(source, cut(piece, Math.ceil(piece.entries.length / 2)), skipRepeats);
      }
      if (first === undefined || isRejection(first.content)) throw refusal(error, this.#tables);
      if (this.#isRepeat(error)) return await this.#passRepeat(source, spans);
      return await this.#store(source, spans, [this.sheet([{ ...first, content: rejection(error) }])], skipRepeats);
    }
  }

  /** One piece after the other, the first one first: each begins where the one before it ends. */
  async #storeInOrder(source: Source, pieces: Iterable<Piece>, skipRepeats: boolean): Promise<Outcome> {
    for (const { spans, entries } of pieces) {
      if (await this.#store(source, spans, [this.sheet(entries)], skipRepeats) === "reopen") return "reopen";
    }
    return "stored";
  }

  /** Stores nothing for a metric that is here already: where a trigger or a part says so, the statement cannot leave it out. */
  async #passRepeat(source: Source, spans: ReadonlyMap<number, Span>): Promise<Outcome> {
    const outcome = await this.#run(source, spans, [this.sheet([])], false);
    if (outcome === "stored") this.#counters = { ...this.#counters, rows: this.#counters.rows + 1 };
    return outcome;
  }

  async #run(
    source: Source,
    spans: ReadonlyMap<number, Span>,
    sheets: readonly Sheet[],
    skipRepeats: boolean,
  ): Promise<Outcome> {
    const marks = await this.#database.query<MarkRow>(
      flushSql(this.#tables, skipRepeats),
      flushParameters(source, spans, sheets),
    );
    const found = new Map(marks.map(({ partition, mark }) => [partition, Number(mark)]));
    for (const sheet of sheets) this.#count(spans, sheet, found);
    // Judged by the marks, never by the number of rows: a trigger of the user's may swallow some.
    const stored = [...spans].every(([partition, { start }]) => start <= (found.get(partition) ?? -1));
    return stored ? "stored" : "reopen";
  }

  #count(spans: ReadonlyMap<number, Span>, { parts }: Sheet, marks: ReadonlyMap<number, number>): void {
    const isNew = ({ partition, offset }: { partition: number; offset: number }) => {
      const mark = marks.get(partition);
      const span = spans.get(partition);
      return mark !== undefined && span !== undefined && span.start <= mark && mark <= offset;
    };
    const { rows, rejected, missedDropped } = this.#counters;
    this.#counters = {
      rows: rows + parts.metrics.filter(isNew).length,
      rejected: rejected + parts.rejections.filter(isNew).length,
      missedDropped: missedDropped + parts.missed.filter(isNew).length,
    };
  }

  /** A metric that was sent twice, and no other duplicate that a user's own index refuses. */
  #isRepeat(error: unknown): boolean {
    const index = violatedIndex(error);
    return index !== null && this.#tables.repeatIndexes.has(indexName(...index));
  }

  /**
   * True where the same batch may pass once its repeats are left out. An index that is not known may be younger than this
   * store, or have another name by now: it is looked up once a flush.
   */
  async #mayPass(error: unknown, skipRepeats: boolean): Promise<boolean> {
    if (skipRepeats && this.#tables.infersRepeats && sqlFailure(error)?.code === INDEX_GONE) {
      this.#tables = await lookAgain(this.#database, this.#tables);
      return !this.#tables.infersRepeats;
    }
    const index = violatedIndex(error);
    if (index === null) return false;
    const name = indexName(...index);
    if (this.#tables.repeatIndexes.has(name)) return !skipRepeats;
    if (this.#strangers.has(name)) return false;
    this.#strangers.add(name);
    const before = this.#tables;
    const kind = await lookUpIndex(this.#database, ...index);
    if (kind === "repeats") this.#tables = await lookAgain(this.#database, before);
    // The statement finds what has come in its place.
    if (kind === "gone") return true;
    if (!this.#tables.repeatIndexes.has(name)) return false;
    return !skipRepeats || before.infersRepeats !== this.#tables.infersRepeats;
  }

  /** True where a value stands for null in a column that was not known to refuse null, or without a default, until now. */
  async #hasNewDefault(error: unknown): Promise<boolean> {
    const failure = sqlFailure(error);
    if (failure?.code !== "23502" || this.#isUnwrittenColumn(error)) return false;
    // Of a domain that refuses null the server does not name the column.
    const name = `column ${failure.column}`;
    if (this.#strangers.has(name)) return false;
    this.#strangers.add(name);
    const before = this.#tables;
    const now = performance.now();
    if (now - (this.#looked.get(name) ?? -Infinity) >= LOOK_INTERVAL) {
      this.#looked.set(name, now);
      this.#tables = await lookAgain(this.#database, before);
    }
    // Messages may have been written as the statement takes them before the last look.
    return this.#tables.statusCodeRequired || this.#tables.defaults.size > before.defaults.size;
  }

  /** No metric is at fault where a column wants a value that is not ours to give. */
  #isUnwrittenColumn(error: unknown): boolean {
    const failure = sqlFailure(error);
    if (failure?.code !== "23502" || failure.column === null) return false;
    return !(this.#tables.columns as readonly string[]).includes(failure.column);
  }
}

/** No index fits `on conflict` (any longer). */
const INDEX_GONE = "42P10";

/** Schema and name of the unique index that refused a row. */
function violatedIndex(error: unknown): [schema: string, name: string] | null {
  const failure = sqlFailure(error);
  if (failure?.code !== "23505" || failure.schema === null || failure.constraint === null) return null;
  return [failure.schema, failure.constraint];
}

interface MarkRow {
  readonly partition: number;
  /** A text, a number or a bigint, by client. */
  readonly mark: unknown;
}

function toPiece(spans: ReadonlyMap<number, Span>, sheets: readonly Sheet[]): Piece {
  return { spans, entries: sheets.flatMap(({ entries }) => entries) };
}

/** The parameters of `flushSql`, in its order. */
function flushParameters(source: Source, spans: ReadonlyMap<number, Span>, sheets: readonly Sheet[]): string[] {
  const writer = [...spans];
  return [
    source.topicId,
    arrayText(writer.map(([partition]) => partition)),
    arrayText(writer.map(([, { start }]) => start)),
    arrayText(writer.map(([, { next }]) => next)),
    source.topic,
    ...joinSheets(sheets),
  ];
}

function rejection(error: unknown): Rejection {
  const failure = sqlFailure(error);
  const detail = failure?.detail == null ? "" : ` (${failure.detail})`;
  const reason = `the database refuses the row: ${failure?.message ?? String(error)}${detail}`;
  // Cutting may split a character; what is left of it cannot be stored.
  return { reason: reason.slice(0, MAX_REASON_LENGTH).toWellFormed() };
}

function refusal(error: unknown, { offsets, rejected }: Tables): SetupError {
  return new SetupError(`${offsets} and ${rejected} must take what is written to them: ${explain(error)}`, {
    cause: error,
  });
}
