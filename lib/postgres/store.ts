import type { TableName } from "../config/setting_types.ts";
import { isRejection, type Metric, type Rejection } from "../metric.ts";
import { indexName, lookUpIndex } from "./catalog.ts";
import { type Database, explain, isMissingPartition, SetupError, sqlFailure } from "./database.ts";
import { arrayText, ascii } from "./pg_text.ts";
import { cut, type Entry, join, type Most, type Piece, type Portion, portions, runs } from "./piece.ts";
import type { OffsetRange, OffsetRanges, Source } from "./piece.ts";
import { type BatchSlice, type EncodedBatch, joinPages, toPage, toSheet } from "./encoded_batch.ts";
import { StatementSize } from "./statement_size.ts";
import {
  claimSql,
  firstClaimScript,
  flushSql,
  forgetSql,
  knownSql,
  marksSql,
  skippedSql,
  skipSql,
} from "./statements.ts";
import { lookAgain, prepareTables, type Tables } from "./tables.ts";
import { isRefusal, ordinaryMetric, takesCopy, takesMetric } from "./trial.ts";

export type { Entry, OffsetRange, Source } from "./piece.ts";
export type { EncodedBatch } from "./encoded_batch.ts";

/**
 * Messages stored by this store since it was opened; what somebody else had stored before is not
 * counted.
 */
export interface Counters {
  /** In the table; where a metric came again under a new offset, each time. */
  readonly rows: number;
  readonly rejected: number;
  /** Checks that were missed, for which the table has no `error` column to say so. */
  readonly missedDropped: number;
}

/** What a person wants to know of the storing. */
export interface StoreEvents {
  /**
   * So many messages have gone to the rejected, a table of this name; the first of them for this
   * reason.
   */
  rejected(count: number, reason: string, table: string): void;
  /**
   * A statement with so many messages was ended after so many seconds; from now on one holds
   * `most`.
   */
  ended(messages: number, seconds: number, most: number, error: unknown): void;
  /** Statements are as large again as the settings allow. */
  grown(most: number): void;
}

export interface StoreOptions {
  /** The most messages of one statement. */
  readonly batchSize?: number;
  readonly events?: StoreEvents;
}

/**
 * "stored": every message is in the table or among the rejected. "reopen": read again from the
 * marks.
 */
export type Outcome = "stored" | "reopen";

/**
 * Bytes of messages in one statement: far below what PostgreSQL takes as one value, and what a text
 * may hold here.
 */
const MAX_STATEMENT_BYTES = 16 * 1024 * 1024;
/** Messages in one statement, where nobody says. */
const MAX_STATEMENT_SIZE = 100_000;
const MAX_REASON_LENGTH = 1000;
/** Metrics that are made up to find out whether the table takes any, for one batch. */
const MAX_TRIALS = 3;

/**
 * Milliseconds until a column that refused null is looked up again: of many parts it takes a while.
 */
const LOOK_INTERVAL = 60_000;

const SILENT: StoreEvents = { rejected: () => {}, ended: () => {}, grown: () => {} };

/**
 * A table of metrics, the marks that tell how far each topic partition is stored in it, and the
 * messages that could not be rows. Retries nothing: after a failure for which `remedyFor` says
 * "wait", the same call may be repeated, and stores nothing twice.
 */
export class Store {
  readonly #database: Database;
  #tables: Tables;
  /**
   * Indexes and columns that were looked up during the flush under way, and that its rows are
   * refused by all the same.
   */
  readonly #strangers = new Set<string>();
  /** When a column that refused null was last looked up, by `performance.now()`. */
  readonly #looked = new Map<string, number>();
  readonly #events: StoreEvents;
  readonly #batchSize: number;
  readonly #size: StatementSize;
  /** What the table is known to have taken. */
  #lastStored: Metric | null = null;
  #counters: Counters = { rows: 0, rejected: 0, missedDropped: 0 };

  private constructor(database: Database, tables: Tables, { batchSize, events }: StoreOptions) {
    this.#database = database;
    this.#tables = tables;
    this.#events = events ?? SILENT;
    this.#batchSize = batchSize ?? MAX_STATEMENT_SIZE;
    this.#size = new StatementSize(this.#batchSize);
  }

  /**
   * Creates what is missing of the tables and looks at what is there. Throws `SetupError`, with the
   * statements to run, where the role may not create them or the table cannot take metrics.
   */
  static async open(database: Database, table: TableName, options: StoreOptions = {}): Promise<Store> {
    return new Store(database, await prepareTables(database, table), options);
  }

  /**
   * What a person should know of the table, one line each: a schema that was created, columns that
   * are left alone.
   */
  get warnings(): readonly string[] {
    return this.#tables.warnings;
  }

  get counters(): Counters {
    return this.#counters;
  }

  /**
   * The marks of these partitions: the offset to read next. A partition without one gets that in
   * `starts` first.
   */
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

  /**
   * True where a topic of this name has a mark, be it of an earlier topic of the name, or of other
   * partitions.
   */
  async knows({ topic }: Source): Promise<boolean> {
    return (await this.#database.query(knownSql(this.#tables), [topic])).length > 0;
  }

  /**
   * Gives the partitions in `starts`, which are to be all that the topic has, their first marks;
   * does nothing where a topic of this name has a mark. Of several that do so at the same time one
   * decides for all partitions.
   */
  async claimFirst(source: Source, starts: ReadonlyMap<number, number>): Promise<void> {
    if (starts.size > 0) await this.#database.script(firstClaimScript(this.#tables, source, starts));
  }

  /**
   * Writes messages as the statement takes them: work that can be done while the database is busy.
   */
  sheet(entries: readonly Entry[]): EncodedBatch {
    return toSheet(entries, this.#tables, { messages: this.#batchSize, bytes: MAX_STATEMENT_BYTES });
  }

  /**
   * Stores messages, given in the order they arrived in, and moves the marks of their partitions.
   * What is below a mark is left out. A message that the database refuses goes to the rejected, the
   * others are stored; where it would refuse any, that is a `SetupError`, and none is rejected.
   * Takes one statement for each `batchSize` messages. "reopen" where a mark is missing or stands
   * before a span: nothing of that partition is stored then.
   */
  async flush(source: Source, spans: ReadonlyMap<number, OffsetRange>, entries: readonly Entry[]): Promise<Outcome> {
    return await this.flushSheets(source, spans, [this.sheet(entries)]);
  }

  /** As `flush`, with what `sheet` has made of the messages, in their order. */
  async flushSheets(
    source: Source,
    spans: ReadonlyMap<number, OffsetRange>,
    sheets: readonly EncodedBatch[],
  ): Promise<Outcome> {
    this.#strangers.clear();
    return await this.#storeInOrder(source, { spans, parts: sheets.flatMap(({ pages }) => pages) });
  }

  /**
   * Deletes the marks of a source that will not be read again. What was stored of it is on the disk
   * then.
   */
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
    if (moved.length > 0) this.#countSkip();
    return moved.length > 0;
  }

  /**
   * True where `skip` has done this already, by this store or another: for one whose answer was
   * lost.
   */
  async hasSkipped({ topicId }: Source, partition: number, from: number, reason: string): Promise<boolean> {
    const parameters = [topicId, String(partition), String(from), ascii(reason)];
    const found = await this.#database.query(skippedSql(this.#tables), parameters);
    if (found.length > 0) this.#countSkip();
    return found.length > 0;
  }

  #countSkip(): void {
    this.#counters = { ...this.#counters, rejected: this.#counters.rejected + 1 };
  }

  /** One portion after the other, the first one first: each begins where the one before it ends. */
  async #storeInOrder(source: Source, batch: Portion<BatchSlice>): Promise<Outcome> {
    for (const portion of portions(batch, () => this.#most)) {
      if (await this.#store(source, this.#fit(portion)) === "reopen") return "reopen";
    }
    return "stored";
  }

  get #most(): Most {
    return { messages: this.#size.now, bytes: MAX_STATEMENT_BYTES };
  }

  /** A page that was written when statements were larger is written anew. */
  #fit({ spans, parts }: Portion<BatchSlice>): Portion<BatchSlice> {
    const isTooLarge = ({ entries }: BatchSlice) => entries.length > this.#size.now;
    const rewrite = ({ entries }: BatchSlice) => [...runs(entries, this.#most)].map((run) => toPage(run, this.#tables));
    return { spans, parts: parts.flatMap((page) => isTooLarge(page) ? rewrite(page) : [page]) };
  }

  async #store(source: Source, portion: Portion<BatchSlice>): Promise<Outcome> {
    if (countOf(portion) > this.#size.now) return await this.#storeInOrder(source, portion);
    try {
      return await this.#run(source, portion);
    } catch (error) {
      if (isRefusal(error)) return await this.#storeParts(source, portion, error);
      if (!isCancelled(error) || countOf(portion) <= 1) throw error;
      return await this.#storeInOrder(source, portion);
    }
  }

  /**
   * Where a statement with all of a batch was refused: finds by trying what can be stored (promises.md, "Whose fault a
   * refusal is"). What is refused at the end of the batch nothing has followed yet, so the table is asked.
   */
  async #storeParts(source: Source, { spans, parts }: Portion<BatchSlice>, error: unknown): Promise<Outcome> {
    this.#throwIfSetup(error);
    await this.#tryWithoutRows(source, error);
    const state: Search = { held: NOTHING, refusals: [] };
    const piece = { spans, entries: parts.flatMap(({ entries }) => entries) };
    // One by itself is tried once more: it may have been a connection's fault that is gone now.
    const outcome = piece.entries.length > 1
      ? await this.#halves(source, piece, state)
      : await this.#search(source, piece, state);
    if (outcome === "reopen" || state.held === NOTHING) return outcome;
    if (!await this.#takesRows(state)) throw refusesAll(state.refusals, this.#tables);
    return await this.#reject(source, state.held);
  }

  /**
   * Halves until the message at fault is alone: about 2·log2(n) statements for each, and its
   * neighbours are stored. It may be the table that is at fault: so what is refused is held back,
   * and rejected by the statement that stores the next row.
   */
  async #search(source: Source, piece: Piece, state: Search): Promise<Outcome> {
    const portion = this.#toPortion(join(state.held, piece));
    if (state.held !== NOTHING && !hasRows(portion)) {
      state.held = join(state.held, piece);
      return "stored";
    }
    try {
      const outcome = await this.#run(source, portion);
      state.held = NOTHING;
      state.refusals = [];
      return outcome;
    } catch (error) {
      if (!isRefusal(error) && !isCancelled(error)) throw error;
      if (piece.entries.length > 1) return await this.#halves(source, piece, state);
      if (isCancelled(error)) throw error;
      if (this.#isRepeat(error)) return await this.#passRepeat(source, piece, state);
      return this.#hold(piece, error, state);
    }
  }

  async #halves(source: Source, piece: Piece, state: Search): Promise<Outcome> {
    for (const half of cut(piece, Math.ceil(piece.entries.length / 2))) {
      if (await this.#search(source, half, state) === "reopen") return "reopen";
    }
    return "stored";
  }

  /**
   * Stores nothing for a metric that is here already: where a trigger or a part says so, the
   * statement cannot leave it out.
   */
  async #passRepeat(source: Source, { spans }: Piece, state: Search): Promise<Outcome> {
    const passed = { spans, entries: [] };
    const isHeld = state.held !== NOTHING;
    if (isHeld) state.held = join(state.held, passed);
    const outcome = isHeld ? "stored" : await this.#run(source, this.#toPortion(passed));
    if (outcome === "stored") this.#counters = { ...this.#counters, rows: this.#counters.rows + 1 };
    return outcome;
  }

  /** A message is refused by itself. */
  #hold(piece: Piece, error: unknown, state: Search): Outcome {
    this.#throwIfSetup(error);
    const [first] = piece.entries;
    if (first === undefined || isRejection(first.content)) throw companionRefuses(error, this.#tables);
    const rejected = { spans: piece.spans, entries: [{ ...first, content: rejection(error) }] };
    state.held = join(state.held, rejected);
    state.refusals = [...state.refusals, { error, location: first.content.location }];
    return "stored";
  }

  /**
   * Stores messages that are rejections all of them: what refuses these is not the table of
   * metrics.
   */
  async #reject(source: Source, piece: Piece): Promise<Outcome> {
    try {
      return await this.#run(source, this.#toPortion(piece));
    } catch (error) {
      throw isRefusal(error) ? companionRefuses(error, this.#tables) : error;
    }
  }

  /** Throws where it is known whose fault a refusal is, so that it need not be tried. */
  #throwIfSetup(error: unknown): void {
    const failure = sqlFailure(error);
    // Others of the batch may be stored all the same: they have a partition, or a page that is not
    // damaged.
    const isSetup = failure !== null && (isMissingPartition(failure) || /^XX00[12]$/.test(failure.code));
    if (isSetup || this.#isUnwrittenColumn(error)) throw new SetupError(explain(error), { cause: error });
  }

  /** Throws where the statement is refused though no row could be the reason. */
  async #tryWithoutRows(source: Source, cause: unknown): Promise<void> {
    try {
      await this.#query(source, { spans: new Map(), parts: [] }, false);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const what = "a statement without any row is refused too, so it is no message's fault, and none was rejected";
      throw new SetupError(`${explain(error)}; ${what}`, { cause });
    }
  }

  /** True where the table takes an ordinary metric now, or what it has taken before. */
  async #takesRows({ refusals }: Search): Promise<boolean> {
    const locations = [...new Set(refusals.map(({ location }) => location))].slice(0, MAX_TRIALS);
    const metrics = [...locations.map(ordinaryMetric), ...(this.#lastStored === null ? [] : [this.#lastStored])];
    for (const metric of metrics) if (await takesMetric(this.#database, this.#tables, metric)) return true;
    return await takesCopy(this.#database, this.#tables);
  }

  #toPortion({ spans, entries }: Piece): Portion<BatchSlice> {
    return { spans, parts: [toPage(entries, this.#tables)] };
  }

  /**
   * One statement, and again where it finds metrics that were sent twice, or a table that has
   * changed. Remembers how large a statement may be.
   */
  async #run(source: Source, portion: Portion<BatchSlice>): Promise<Outcome> {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const messages = countOf(portion);
    try {
      const outcome = await this.#runOnce(source, portion);
      if (this.#size.passed(messages, seconds())) this.#events.grown(this.#size.now);
      return outcome;
    } catch (error) {
      if (isOverdue(error)) this.#noteEnd(messages, seconds(), error);
      throw error;
    }
  }

  #noteEnd(messages: number, seconds: number, error: unknown): void {
    this.#size.ended(messages, seconds);
    this.#events.ended(messages, seconds, this.#size.now, error);
  }

  async #runOnce(source: Source, portion: Portion<BatchSlice>, skipRepeats = false): Promise<Outcome> {
    try {
      return this.#judge(portion, await this.#query(source, portion, skipRepeats));
    } catch (error) {
      if (await this.#mayPass(error, skipRepeats)) return await this.#runOnce(source, portion, true);
      if (!await this.#hasNewDefault(error)) throw error;
      const entries = portion.parts.flatMap((page) => page.entries);
      return await this.#runOnce(source, this.#toPortion({ spans: portion.spans, entries }), skipRepeats);
    }
  }

  async #query(source: Source, portion: Portion<BatchSlice>, skipRepeats: boolean): Promise<MarkRow[]> {
    return await this.#database.query<MarkRow>(
      flushSql(this.#tables, skipRepeats),
      flushParameters(source, portion.spans, portion.parts.length > 0 ? portion.parts : [toPage([], this.#tables)]),
    );
  }

  #judge({ spans, parts }: Portion<BatchSlice>, marks: readonly MarkRow[]): Outcome {
    const found = new Map(marks.map(({ partition, mark }) => [partition, Number(mark)]));
    const before = this.#counters.rejected;
    for (const page of parts) this.#count(spans, page, found);
    const rejected = this.#counters.rejected - before;
    if (rejected > 0) this.#events.rejected(rejected, firstReason(spans, parts, found), this.#tables.rejected);
    // Judged by the marks, never by the number of rows: a trigger of the user's may swallow some.
    const stored = [...spans].every(([partition, { start }]) => start <= (found.get(partition) ?? -1));
    return stored ? "stored" : "reopen";
  }

  #count(spans: OffsetRanges, { parts }: BatchSlice, marks: ReadonlyMap<number, number>): void {
    const isNew = newTo(spans, marks);
    const { rows, rejected, missedDropped } = this.#counters;
    const metrics = parts.metrics.filter(isNew);
    this.#lastStored = metrics.at(-1)?.content ?? this.#lastStored;
    this.#counters = {
      rows: rows + metrics.length,
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
   * True where the same batch may pass once its repeats are left out. An index that is not known
   * may be younger than this store, or have another name by now: it is looked up once a flush.
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

  /**
   * True where a value stands for null in a column that was not known to refuse null, or without a
   * default, until now.
   */
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

/** How far the search for messages at fault has come. */
interface Search {
  /** Messages that the table has refused, and those between them, since it took a row last. */
  held: Piece;
  /** Why, and from where the metrics come. */
  refusals: readonly { readonly error: unknown; readonly location: string | null }[];
}

const NOTHING: Piece = { spans: new Map(), entries: [] };

const hasRows = ({ parts: pages }: Portion<BatchSlice>) => pages.some(({ parts }) => parts.metrics.length > 0);

function countOf({ parts }: Portion<BatchSlice>): number {
  return parts.reduce((sum, { entries }) => sum + entries.length, 0);
}

/** True for messages that were not stored before, by the marks that the statement has found. */
function newTo(spans: OffsetRanges, marks: ReadonlyMap<number, number>): (entry: Entry) => boolean {
  return ({ partition, offset }) => {
    const mark = marks.get(partition);
    const range = spans.get(partition);
    return mark !== undefined && range !== undefined && range.start <= mark && mark <= offset;
  };
}

function firstReason(spans: OffsetRanges, pages: readonly BatchSlice[], marks: ReadonlyMap<number, number>): string {
  const isNew = newTo(spans, marks);
  for (const { parts } of pages) {
    const first = parts.rejections.find(isNew);
    if (first !== undefined) return first.content.reason;
  }
  return "";
}

/** The server has ended the statement: for its time, or because somebody said so. */
function isCancelled(error: unknown): boolean {
  return sqlFailure(error)?.code === "57014";
}

/**
 * Cancelled, or not answered in time: then nobody knows whether the server is at work or gone,
 * which is waited for.
 */
function isOverdue(error: unknown): boolean {
  return isCancelled(error) || (error instanceof Error && (error as NodeJS.ErrnoException).code === "ETIMEDOUT");
}

/** The parameters of `flushSql`, in its order. */
function flushParameters(source: Source, spans: OffsetRanges, pages: readonly BatchSlice[]): string[] {
  const writer = [...spans];
  return [
    source.topicId,
    arrayText(writer.map(([partition]) => partition)),
    arrayText(writer.map(([, { start }]) => start)),
    arrayText(writer.map(([, { next }]) => next)),
    source.topic,
    ...joinPages(pages),
  ];
}

function rejection(error: unknown): Rejection {
  const failure = sqlFailure(error);
  const detail = failure?.detail == null ? "" : ` (${failure.detail})`;
  const reason = `the database refuses the row: ${failure?.message ?? String(error)}${detail}`;
  // Cutting may split a character; what is left of it cannot be stored.
  return { reason: reason.slice(0, MAX_REASON_LENGTH).toWellFormed() };
}

function companionRefuses(error: unknown, { offsets, rejected }: Tables): SetupError {
  return new SetupError(`${offsets} and ${rejected} must take what is written to them: ${explain(error)}`, {
    cause: error,
  });
}

/** Nothing shows that the table takes any metric. */
function refusesAll(refusals: Search["refusals"], { main }: Tables): SetupError {
  const [first] = refusals;
  const count = refusals.length === 1 ? "the metric that was to be stored" : `each of ${refusals.length} metrics`;
  return new SetupError(
    `${main} refuses ${count}, and one made up for a trial: ${explain(first?.error)}; nothing was rejected. ` +
      `Look for what refuses rows: triggers, constraints, a policy of row-level security, the check option of a view`,
    { cause: first?.error },
  );
}
