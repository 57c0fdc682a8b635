import { type Database, explain, remedyFor, SetupError, sqlFailure } from "./database.ts";
import { isRejection, type Metric, type Rejection } from "./metric.ts";
import { arrayText, base64, type Element } from "./pg_text.ts";
import { cut, type Entry, type Piece, portions, type Source, type Span } from "./store/piece.ts";
import type { TableName } from "./schema.ts";
import { canHoldMissed, claimSql, flushSql, forgetSql, marksSql, skipSql } from "./store/statements.ts";
import { prepareTables, type Tables } from "./store/tables.ts";

export type { Entry, Source, Span } from "./store/piece.ts";

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

  /** What a person should know of the table, one line each: columns that are left alone. */
  get warnings(): readonly string[] {
    return this.#tables.warnings;
  }

  get counters(): Counters {
    return this.#counters;
  }

  /** The marks of these partitions: the offset to read next. A partition without one gets that in `starts` first. */
  async claim(source: Source, starts: ReadonlyMap<number, number>): Promise<Map<number, number>> {
    const partitions = arrayText(starts.keys());
    const offsets = arrayText(starts.values());
    await this.#database.query(claimSql(this.#tables), [source.topicId, partitions, offsets, source.topic]);
    const rows = await this.#database.query<{ partition: number; mark: unknown }>(
      marksSql(this.#tables),
      [source.topicId, partitions],
    );
    return new Map(rows.map(({ partition, mark }) => [partition, Number(mark)]));
  }

  /**
   * Stores messages, given in the order they arrived in, and moves the marks of their partitions. What is below a mark is
   * left out. A message that the database refuses goes to the rejected, the others are stored.
   * "reopen" where a mark is missing or stands before a span: nothing of that partition is stored then.
   */
  async flush(source: Source, spans: ReadonlyMap<number, Span>, entries: readonly Entry[]): Promise<Outcome> {
    for (const piece of portions({ spans, entries }, MAX_STATEMENT_BYTES)) {
      if (await this.#store(source, piece, false) === "reopen") return "reopen";
    }
    return "stored";
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
    if (moved.length > 0) this.#counters = { ...this.#counters, rejected: this.#counters.rejected + 1 };
    return moved.length > 0;
  }

  /** Halves until the message at fault is alone: about 2·log2(n) statements for each, and its neighbours are stored. */
  async #store(source: Source, piece: Piece, skipRepeats: boolean): Promise<Outcome> {
    try {
      return await this.#run(source, piece, skipRepeats);
    } catch (error) {
      if (!skipRepeats && this.#isRepeat(error)) return await this.#store(source, piece, true);
      if (remedyFor(error) !== "row") throw error;
      if (this.#isUnwrittenColumn(error)) throw new SetupError(explain(error), { cause: error });
      const [first] = piece.entries;
      if (piece.entries.length > 1) return await this.#halve(source, piece, skipRepeats);
      if (first === undefined || isRejection(first.content)) throw refusal(error, this.#tables);
      const entries = [{ ...first, content: rejection(error) }];
      return await this.#store(source, { ...piece, entries }, skipRepeats);
    }
  }

  async #halve(source: Source, piece: Piece, skipRepeats: boolean): Promise<Outcome> {
    // One after the other and the left one first: the right one begins where the left one ends.
    for (const half of cut(piece, Math.ceil(piece.entries.length / 2))) {
      if (await this.#store(source, half, skipRepeats) === "reopen") return "reopen";
    }
    return "stored";
  }

  async #run(source: Source, piece: Piece, skipRepeats: boolean): Promise<Outcome> {
    const parts = this.#sort(piece.entries);
    const marks = await this.#database.query<MarkRow>(
      flushSql(this.#tables, skipRepeats),
      flushParameters(source, piece.spans, parts, this.#tables),
    );
    const found = new Map(marks.map(({ partition, mark }) => [partition, Number(mark)]));
    this.#count(piece.spans, parts, found);
    // Judged by the marks, never by the number of rows: a trigger of the user's may swallow some.
    const stored = [...piece.spans].every(([partition, { start }]) => start <= (found.get(partition) ?? -1));
    return stored ? "stored" : "reopen";
  }

  #sort(entries: readonly Entry[]): Parts {
    const parts: Parts = { metrics: [], rejections: [], missed: [] };
    const holdsMissed = canHoldMissed(this.#tables.columns);
    for (const entry of entries) {
      if (!isMetric(entry)) parts.rejections.push(entry as EntryOf<Rejection>);
      else if (!holdsMissed && entry.content.error === "missed") parts.missed.push(entry);
      else parts.metrics.push(entry);
    }
    return parts;
  }

  #count(spans: ReadonlyMap<number, Span>, parts: Parts, marks: ReadonlyMap<number, number>): void {
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

type EntryOf<C> = Entry & { readonly content: C };

function isMetric(entry: Entry): entry is EntryOf<Metric> {
  return !isRejection(entry.content);
}

/** The messages of a piece by where they go. */
interface Parts {
  readonly metrics: EntryOf<Metric>[];
  readonly rejections: EntryOf<Rejection>[];
  readonly missed: Entry[];
}

/** The parameters of `flushSql`, in its order. */
function flushParameters(source: Source, spans: ReadonlyMap<number, Span>, parts: Parts, tables: Tables): string[] {
  const { metrics, rejections } = parts;
  const writer = [...spans];
  const column = <T>(rows: readonly T[], value: (row: T) => Element) => arrayText(rows.map(value));
  return [
    source.topicId,
    column(writer, ([partition]) => partition),
    column(writer, ([, span]) => span.start),
    column(writer, ([, span]) => span.next),
    source.topic,
    column(rejections, (entry) => entry.partition),
    column(rejections, (entry) => entry.offset),
    column(rejections, (entry) => entry.key && base64(entry.key)),
    column(rejections, (entry) => entry.value && base64(entry.value)),
    column(rejections, (entry) => entry.content.reason),
    column(metrics, (entry) => entry.partition),
    column(metrics, (entry) => entry.offset),
    ...tables.columns.map((field) => column(metrics, ({ content }) => fieldValue(content, field, tables))),
  ];
}

function fieldValue(metric: Metric, field: keyof Metric, tables: Tables): Element {
  const value = metric[field];
  return value === null && field === "status_code" && tables.statusCodeRequired ? 0 : value;
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
