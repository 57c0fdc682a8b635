import { type Database, explain, remedyFor, SetupError, sqlFailure } from "./database.ts";
import { isRejection, type Rejection } from "./metric.ts";
import { arrayText } from "./pg_text.ts";
import { cut, type Entry, type Piece, portions, type Source, type Span } from "./store/piece.ts";
import type { TableName } from "./schema.ts";
import { joinSheets, type Sheet, toSheet } from "./store/sheet.ts";
import {
  claimSql,
  firstClaimScript,
  flushSql,
  forgetSql,
  knownSql,
  marksSql,
  skippedSql,
  skipSql,
} from "./store/statements.ts";
import { prepareTables, type Tables } from "./store/tables.ts";

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

/**
 * A table of metrics, the marks that tell how far each topic partition is stored in it, and the messages that could not be
 * rows. Retries nothing: after a failure for which `remedyFor` says "wait", the same call may be repeated, and stores
 * nothing twice.
 */
export class Store {
  readonly #database: Database;
  readonly #tables: Tables;
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

  /** True where a topic of this name has a mark, be it of an earlier topic of the name, or of other partitions. */
  async knows({ topic }: Source): Promise<boolean> {
    return (await this.#database.query(knownSql(this.#tables), [topic])).length > 0;
  }

  /**
   * Gives the partitions in `starts`, which are to be all that the topic has, their first marks; does nothing where a topic of
   * this name has a mark. Of several that do so at the same time one decides for all partitions.
   */
  async claimFirst(source: Source, starts: ReadonlyMap<number, number>): Promise<void> {
    if (starts.size > 0) await this.#database.script(firstClaimScript(this.#tables, source, starts));
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
    const parameters = [topicId, String(partition), String(from), String(to), topic, reason];
    const moved = await this.#database.query(skipSql(this.#tables), parameters);
    if (moved.length > 0) this.#countSkip();
    return moved.length > 0;
  }

  /** True where `skip` has done this already, by this store or another: for one whose answer was lost. */
  async hasSkipped({ topicId }: Source, partition: number, from: number, reason: string): Promise<boolean> {
    const parameters = [topicId, String(partition), String(from), reason];
    const found = await this.#database.query(skippedSql(this.#tables), parameters);
    if (found.length > 0) this.#countSkip();
    return found.length > 0;
  }

  #countSkip(): void {
    this.#counters = { ...this.#counters, rejected: this.#counters.rejected + 1 };
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
      if (!skipRepeats && this.#isRepeat(error)) return await this.#store(source, spans, sheets, true);
      if (remedyFor(error) !== "row") throw error;
      if (this.#isUnwrittenColumn(error)) throw new SetupError(explain(error), { cause: error });
      const piece = toPiece(spans, sheets);
      const [first] = piece.entries;
      if (piece.entries.length > 1) {
        return await this.#storeInOrder(source, cut(piece, Math.ceil(piece.entries.length / 2)), skipRepeats);
      }
      if (first === undefined || isRejection(first.content)) throw refusal(error, this.#tables);
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
    const failure = sqlFailure(error);
    return failure?.code === "23505" && failure.constraint !== null &&
      this.#tables.repeatIndexes.has(failure.constraint);
  }

  /** No metric is at fault where a column wants a value that is not ours to give. */
  #isUnwrittenColumn(error: unknown): boolean {
    const failure = sqlFailure(error);
    if (failure?.code !== "23502" || failure.column === null) return false;
    return !(this.#tables.columns as readonly string[]).includes(failure.column);
  }
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
