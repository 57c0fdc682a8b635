import { Bell } from "../async/bell.ts";
import type { Metric } from "../metric.ts";
import { CurrentTables } from "./current_tables.ts";
import { type Database, isMissingPartition, sqlFailure } from "./database.ts";
import type { BatchEncoder, BatchSlice } from "./encoded_batch.ts";
import type { Entry } from "./entry.ts";
import { hasEvidence } from "./evidence.ts";
import { flushParameters, flushSql } from "./flush_sql.ts";
import { changesParameters } from "./incidents/changes_sql.ts";
import type { IncidentChange } from "./incidents/rules.ts";
import type { IncidentPlan, IncidentTracker, PlannedStatement } from "./incidents/tracker.ts";
import type { Marks } from "./marks.ts";
import { arrayText } from "./pg_text.ts";
import type { OffsetRange, OffsetRanges, Piece, Portion, TopicIdentity } from "./piece.ts";
import { type PartEvents, PartMaker } from "./part_maker.ts";
import type { Foreground, RollUpEvents } from "./roll_up.ts";
import { StatementSize } from "./statement_size.ts";
import type { Tables } from "./tables.ts";

/** Messages stored since the start. Messages that somebody else had stored before do not count. */
export interface Counters {
  /** Metrics in the table. A metric that came again under a new offset counts each time. */
  readonly rows: number;
  readonly rejected: number;
  /** Missed checks that were left out, as the table has no `error` column to say so. */
  readonly missedDropped: number;
}

/** Events of the storing that a person wants to know of. */
export interface StoreEvents extends PartEvents, RollUpEvents {
  /**
   * So many messages went to the rejected, a table of this name; the first of them for this reason.
   */
  rejected(count: number, reason: string, table: string): void;
  /**
   * A statement with so many messages was ended after so many seconds. From now on one holds
   * `most`.
   */
  ended(messages: number, seconds: number, most: number, error: unknown): void;
  /** Incidents were opened and closed by what is stored. */
  incidents?(changes: readonly IncidentChange[]): void;
  /** Statements are as large again as the settings allow. */
  grown(most: number): void;
}

/**
 * "stored": every message is in the table or among the rejected. "reopen": read again from the
 * marks.
 */
export type StoreOutcome = "stored" | "reopen";

/** Times that a statement is tried for want of parts: somebody may drop one just then. */
const MOST_TRIES = 3;

/** Milliseconds that other work waits for a pause of the storing. Then it goes on between two statements. */
const LONGEST_WAIT = 10_000;

interface MarkRow {
  readonly partition: number;
  /** A text, a number or a bigint, by client. */
  readonly mark: unknown;
  /** True if the range begins as the statement needs it: it is stored then. */
  readonly is_next: boolean;
}

/** All parts of the statement, with nothing in them. */
const NOTHING_PLANNED: PlannedStatement = {
  changes: [],
  name: "00000000-0000-0000-0000-000000000000",
  after: new Map(),
};

export interface WriterOptions {
  readonly marks: Pick<Marks, "skipsOf">;
  readonly encoder: BatchEncoder;
  /** The messages that the settings allow in one statement. */
  readonly most: number;
  readonly events: StoreEvents;
  /** Finds out before which moment metrics are not taken now. */
  lookAtKept(): Promise<unknown>;
  /** The incidents that follow from the metrics; null: none are written. */
  readonly tracker: IncidentTracker | null;
  /** Whom to tell of incidents, by name. */
  readonly targets?: readonly string[];
}

/**
 * Runs the statement that stores messages and moves marks. It runs again if it finds metrics that
 * were sent twice, or a table that has changed. Counts what was stored, and remembers how large a
 * statement may be.
 */
export class TableWriter implements Foreground {
  /** The tables as they are known now. */
  readonly current: CurrentTables;
  readonly #database: Database;
  readonly #marks: Pick<Marks, "skipsOf">;
  readonly #encoder: BatchEncoder;
  readonly #tracker: IncidentTracker | null;
  readonly #targets: readonly string[];
  /** Settles when the statement before has been sent. */
  #sent: Promise<unknown> = Promise.resolve();
  readonly #events: StoreEvents;
  readonly #size: StatementSize;
  readonly #parts: PartMaker;
  readonly #lookAtKept: () => Promise<unknown>;
  /** Statements that are under way. */
  #underWay = 0;
  /** Rings when none is under way any more. */
  readonly #pause = new Bell();
  #lastStored: Metric | null = null;
  #counters: Counters = { rows: 0, rejected: 0, missedDropped: 0 };

  constructor(
    database: Database,
    tables: Tables,
    { marks, encoder, most, events, lookAtKept, tracker, targets = [] }: WriterOptions,
  ) {
    this.#database = database;
    this.#marks = marks;
    this.#encoder = encoder;
    this.#tracker = tracker;
    this.#targets = targets;
    this.current = new CurrentTables(database, tables);
    this.#events = events;
    this.#parts = new PartMaker(database, tables, events);
    this.#size = new StatementSize(most);
    this.#lookAtKept = lookAtKept;
  }

  get tables(): Tables {
    return this.current.tables;
  }

  get counters(): Counters {
    return this.#counters;
  }

  /** The messages that a statement may hold now. */
  get most(): number {
    return this.#size.now;
  }

  /** A metric that the table is known to have taken; null before the first. */
  get lastStored(): Metric | null {
    return this.#lastStored;
  }

  /** A flush begins: unknown indexes and columns may be looked up again. */
  begin(): void {
    this.current.begin();
  }

  /** Makes the next parts, if it is time. Never rejects. */
  async keepPartsAhead(): Promise<void> {
    await this.#parts.keepAhead();
  }

  /** Encodes messages for the statement. */
  encode({ ranges, entries }: Piece): Portion<BatchSlice> {
    return { ranges, slices: [this.#encoder.encodeSlice(entries, this.tables)] };
  }

  /** Stores a portion with one statement. */
  async store(identity: TopicIdentity, portion: Portion<BatchSlice>): Promise<StoreOutcome> {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const messages = countOf(portion);
    try {
      const outcome = await this.#storeInParts(identity, portion);
      if (this.#size.passed(messages, seconds())) this.#events.grown(this.#size.now);
      return outcome;
    } catch (error) {
      if (isOverdue(error)) this.#noteEnd(messages, seconds(), error);
      throw error;
    }
  }

  /**
   * Sends the statement for a portion while the one before it has no answer yet. True if all of it
   * is stored. False tells nothing: `store` it when its turn comes.
   */
  async storeEarly(identity: TopicIdentity, portion: Portion<BatchSlice>): Promise<boolean> {
    try {
      if (this.#tracker === null) return await this.#send(identity, portion, false) === "stored";
      const [outcome, unstored] = await this.#sendNext(this.#tracker, identity, portion, false, true);
      return outcome === "stored" && unstored.size === 0;
    } catch {
      // Whatever it is, it shows again in turn, where it is looked into.
      return false;
    }
  }

  /** Runs the statement without any row, to see whether it is refused. */
  async storeNothing(identity: TopicIdentity): Promise<void> {
    const planned = this.#tracker === null ? null : NOTHING_PLANNED;
    await this.#parts.keepAhead();
    await this.#query(identity, { ranges: new Map(), slices: [] }, false, planned);
  }

  /** The table has a metric already, though the statement did not store it. */
  countRepeat(): void {
    this.#counters = { ...this.#counters, rows: this.#counters.rows + 1 };
  }

  #noteEnd(messages: number, seconds: number, error: unknown): void {
    this.#size.ended(messages, seconds);
    this.#events.ended(messages, seconds, this.#size.now, error);
  }

  /** Makes the parts that the rows lack, and runs the statement again. */
  async #storeInParts(identity: TopicIdentity, portion: Portion<BatchSlice>): Promise<StoreOutcome> {
    for (let tries = 1, rest = portion;; tries++) {
      try {
        return await this.#store(identity, rest);
      } catch (error) {
        const failure = sqlFailure(error);
        if (tries === MOST_TRIES || failure === null || !isMissingPartition(failure)) throw error;
        // The part may have been dropped since the batch was encoded: it must not come back.
        await this.#lookAtKept();
        rest = this.#encodeAgain(portion);
        if (!await this.#parts.makeMissing(rest.slices)) throw error;
      }
    }
  }

  /** Encodes a portion by what is known of the tables now. */
  #encodeAgain({ ranges, slices }: Portion<BatchSlice>): Portion<BatchSlice> {
    return this.encode({ ranges, entries: slices.flatMap(({ entries }) => entries) });
  }

  async #store(identity: TopicIdentity, portion: Portion<BatchSlice>, skipRepeats = false): Promise<StoreOutcome> {
    try {
      return await this.#send(identity, portion, skipRepeats);
    } catch (error) {
      if (await this.current.mayPass(error, skipRepeats)) return await this.#store(identity, portion, true);
      if (!await this.current.hasNewDefault(error)) throw error;
      return await this.#store(identity, this.#encodeAgain(portion), skipRepeats);
    }
  }

  /** Sends the statement, with the incidents that begin or end by it. */
  async #send(identity: TopicIdentity, portion: Portion<BatchSlice>, skipRepeats: boolean): Promise<StoreOutcome> {
    const tracker = this.#tracker;
    if (tracker === null) {
      // Each statement waits here alike, so that one sent early does not overtake the one before it.
      await this.#parts.keepAhead();
      return this.#judge(portion, await this.#query(identity, portion, skipRepeats, null));
    }
    for (let rest = portion;;) {
      const [outcome, unstored] = await this.#sendNext(tracker, identity, rest, skipRepeats);
      if (outcome === "reopen" || unstored.size === 0) return outcome;
      // Planned anew, on top of what somebody else has stored.
      rest = this.#restOf(rest, unstored);
    }
  }

  /** Sends a statement once. Gives the ranges that it has not stored: they follow another statement. */
  async #sendNext(
    tracker: IncidentTracker,
    identity: TopicIdentity,
    portion: Portion<BatchSlice>,
    skipRepeats: boolean,
    isEarly = false,
  ): Promise<[StoreOutcome, unstored: OffsetRanges]> {
    const sent = await this.#inTurn(tracker, identity, portion, skipRepeats, isEarly);
    if (sent === null) return ["stored", portion.ranges];
    const { plan, answer } = sent;
    let marks: readonly MarkRow[] = [];
    try {
      marks = await answer;
    } finally {
      plan.settle(marks.length === portion.ranges.size && marks.every((mark) => mark.is_next));
    }
    const [settled, unstored] = divideRanges(portion.ranges, marks);
    const outcome = this.#judge({ ranges: settled, slices: portion.slices }, marks);
    const stored = new Set(marks.filter((mark) => mark.is_next).map(({ partition }) => partition));
    const changes = plan.changes.filter(({ partition }) => stored.has(partition));
    if (changes.length > 0) this.#events.incidents?.(changes);
    return [outcome, unstored];
  }

  /** The messages of these ranges. */
  #restOf({ slices }: Portion<BatchSlice>, ranges: OffsetRanges): Portion<BatchSlice> {
    const isIn = ({ partition, offset }: Entry) => offset >= (ranges.get(partition)?.start ?? Infinity);
    return this.encode({ ranges, entries: slices.flatMap(({ entries }) => entries.filter(isIn)) });
  }

  /**
   * Plans and sends a statement: in one order, each on top of the one before it. Null: it would be
   * early, but does not begin where what was planned last ends.
   */
  async #inTurn(
    tracker: IncidentTracker,
    identity: TopicIdentity,
    portion: Portion<BatchSlice>,
    skipRepeats: boolean,
    isEarly: boolean,
  ): Promise<{ readonly plan: IncidentPlan; readonly answer: Promise<MarkRow[]> } | null> {
    const before = this.#sent;
    const turn = Promise.withResolvers<void>();
    this.#sent = turn.promise;
    try {
      await before;
      await this.#parts.keepAhead();
      if (isEarly && !tracker.continues(identity, portion.ranges)) return null;
      const checks = portion.slices.flatMap((slice) => slice.checks ?? []);
      const plan = await tracker.plan(identity, portion.ranges, checks);
      return { plan, answer: this.#query(identity, portion, skipRepeats, plan) };
    } finally {
      turn.resolve();
    }
  }

  /** Sends the statement at once. Before it the parts must be kept ahead. */
  async #query(
    identity: TopicIdentity,
    { ranges, slices }: Portion<BatchSlice>,
    skipRepeats: boolean,
    planned: PlannedStatement | null,
  ): Promise<MarkRow[]> {
    const sent = slices.length > 0 ? slices : [this.#encoder.encodeSlice([], this.tables)];
    const isChanging = planned !== null && (planned.changes.length > 0 || planned === NOTHING_PLANNED);
    const parameters = [
      ...flushParameters(this.tables, identity, ranges, sent, this.#marks, planned),
      ...isChanging ? [...changesParameters(planned.changes, this.tables), arrayText(this.#targets)] : [],
    ];
    this.#underWay++;
    try {
      const text = flushSql(this.tables, skipRepeats, { changesIncidents: isChanging, hasEvidence: hasEvidence(sent) });
      return await this.#database.query<MarkRow>(text, parameters);
    } finally {
      if (--this.#underWay === 0) this.#pause.ring();
    }
  }

  async quiet(signal: AbortSignal): Promise<void> {
    const end = performance.now() + LONGEST_WAIT;
    for (let left = LONGEST_WAIT; this.#underWay > 0 && left > 0 && !signal.aborted; left = end - performance.now()) {
      await this.#pause.wait(left, signal);
    }
  }

  #judge({ ranges, slices }: Portion<BatchSlice>, marks: readonly MarkRow[]): StoreOutcome {
    const found = new Map(marks.map(({ partition, mark }) => [partition, Number(mark)]));
    const before = this.#counters.rejected;
    for (const slice of slices) this.#count(ranges, slice, found);
    const rejected = this.#counters.rejected - before;
    if (rejected > 0) this.#events.rejected(rejected, firstReason(ranges, slices, found), this.tables.rejected);
    // Judged by the marks, never by the number of rows: a trigger of the user's may swallow some.
    const stored = [...ranges].every(([partition, { start }]) => start <= (found.get(partition) ?? -1));
    return stored ? "stored" : "reopen";
  }

  #count(ranges: OffsetRanges, { sorted }: BatchSlice, marks: ReadonlyMap<number, number>): void {
    const isNew = newTo(ranges, marks);
    const { rows, rejected, missedDropped } = this.#counters;
    const metrics = sorted.metrics.filter(isNew);
    this.#lastStored = metrics.at(-1)?.content ?? this.#lastStored;
    this.#counters = {
      rows: rows + metrics.length,
      rejected: rejected + sorted.rejections.filter(isNew).length,
      missedDropped: missedDropped + sorted.missed.filter(isNew).length,
    };
  }
}

/**
 * Ranges that a statement has settled, and those of which it has stored nothing though messages of
 * them are to be stored: another statement has moved the mark. They begin there.
 */
function divideRanges(
  ranges: OffsetRanges,
  marks: readonly MarkRow[],
): [settled: OffsetRanges, unstored: OffsetRanges] {
  const [settled, unstored] = [new Map(ranges), new Map<number, OffsetRange>()];
  for (const { partition, mark, is_next } of marks) {
    const range = ranges.get(partition);
    const start = Number(mark);
    if (is_next || range === undefined || start < range.start || start >= range.next) continue;
    settled.delete(partition);
    unstored.set(partition, { ...range, start });
  }
  return [settled, unstored];
}

/** The messages of a portion. */
export function countOf({ slices }: Portion<BatchSlice>): number {
  return slices.reduce((sum, { entries }) => sum + entries.length, 0);
}

/** True if the server has ended the statement: for its time, or because somebody said so. */
export function isCancelled(error: unknown): boolean {
  return sqlFailure(error)?.code === "57014";
}

/**
 * True if the statement was cancelled, or not answered in time. In the second case nobody knows
 * whether the server is at work or gone, which is waited for.
 */
function isOverdue(error: unknown): boolean {
  return isCancelled(error) || (error instanceof Error && (error as NodeJS.ErrnoException).code === "ETIMEDOUT");
}

/** True for messages that were not stored before, by the marks that the statement has found. */
function newTo(ranges: OffsetRanges, marks: ReadonlyMap<number, number>): (entry: Entry) => boolean {
  return ({ partition, offset }) => {
    const mark = marks.get(partition);
    const range = ranges.get(partition);
    return mark !== undefined && range !== undefined && range.start <= mark && mark <= offset;
  };
}

function firstReason(ranges: OffsetRanges, slices: readonly BatchSlice[], marks: ReadonlyMap<number, number>): string {
  const isNew = newTo(ranges, marks);
  for (const { sorted } of slices) {
    const first = sorted.rejections.find(isNew);
    if (first !== undefined) return first.content.reason;
  }
  return "";
}
