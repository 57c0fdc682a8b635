import { inBackground } from "../async/waits.ts";
import type { Keep } from "../config/keep.ts";
import type { Partition, TableName } from "../config/setting_types.ts";
import type { IncidentSettings, RetentionSettings } from "../config/settings.ts";
import type { Database } from "./database.ts";
import { unsettledDays } from "./days.ts";
import { BatchEncoder, type BatchSlice, type EncodedBatch } from "./encoded_batch.ts";
import type { Entry } from "./entry.ts";
import { letEvidenceGo } from "./evidence_keeper.ts";
import { HostReader } from "./host_reader.ts";
import { Canaries, type CanaryEvents } from "./incidents/canaries.ts";
import { readHistory } from "./incidents/history.ts";
import { Maintenance } from "./incidents/maintenance.ts";
import { SilenceWatch, type SilenceWork } from "./incidents/silence.ts";
import { IncidentTracker } from "./incidents/tracker.ts";
import { Marks } from "./marks.ts";
import { NotificationOutbox } from "./notifications.ts";
import { boundedSpan, type OldPart } from "./old_parts.ts";
import { Packing } from "./packing.ts";
import { type Most, type OffsetRanges, type Portion, portions, type TopicIdentity } from "./piece.ts";
import { RefusedBatch } from "./refused_batch.ts";
import { Retention } from "./retention.ts";
import type { SweepingWork } from "./sweeping.ts";
import { RollUp } from "./roll_up.ts";
import { deletionsOf, NO_DELETIONS } from "./schema.ts";
import {
  type Counters,
  countOf,
  isCancelled,
  type StoreEvents,
  type StoreOutcome,
  TableWriter,
} from "./table_writer.ts";
import { prepareTables, type Tables } from "./tables.ts";
import { isRefusal } from "./trial.ts";

export type { EncodedBatch } from "./encoded_batch.ts";
export { type Entry, ReceivedEntry } from "./entry.ts";
export { joinRanges, type OffsetRange, type OffsetRanges, type TopicIdentity } from "./piece.ts";
export type { Mark } from "./marks.ts";
export type { Notification, NotificationMessage, NotificationOutbox } from "./notifications.ts";
export type { CanaryEvents } from "./incidents/canaries.ts";
export type { SilenceWork } from "./incidents/silence.ts";
export type { IncidentChange } from "./incidents/rules.ts";
export type { Counters, StoreEvents, StoreOutcome } from "./table_writer.ts";

export interface StoreOptions {
  /** The most messages of one statement. */
  readonly batchSize?: number;
  /** The parts of a table that is created. */
  readonly partition?: Partition;
  /** How long rows are kept; absent: for ever. */
  readonly retention?: RetentionSettings;
  /** When an address is down; absent: no incidents are written. */
  readonly incidents?: IncidentSettings;
  /** Addresses that are up as long as a place has a network; absent: none. */
  readonly canaries?: readonly string[];
  /** Whom to tell of them, by name. */
  readonly targets?: readonly string[];
  readonly events?: StoreEvents;
}

/**
 * Bytes of messages in one statement: far below the limits of PostgreSQL's values and of texts
 * here.
 */
const MAX_STATEMENT_BYTES = 16 * 1024 * 1024;
/** Messages in one statement, if nobody says. */
const MAX_STATEMENT_SIZE = 100_000;

/** Milliseconds that the end waits for a statement of the work in the background. */
const LAST_BITE = 1_000;

const SILENT: StoreEvents = {
  rejected: () => {},
  ended: () => {},
  grown: () => {},
  parts: () => {},
  rolledUp: () => {},
};

/**
 * A table of metrics, with the marks of the topic partitions and the table of rejected messages.
 * It retries nothing. After a failure for which `classifyError` says "wait", the same call may be
 * repeated, and stores nothing twice.
 */
export class Store {
  /** How far each topic partition is stored. */
  readonly marks: Marks;
  /** What is to be told of incidents. */
  readonly outbox: NotificationOutbox;
  readonly #database: Database;
  readonly #writer: TableWriter;
  readonly #encoder = new BatchEncoder();
  readonly #batchSize: number;
  /** Null: nobody has said how long rows are kept. */
  readonly #retention: Retention | null;
  readonly #events: StoreEvents;
  readonly #targets: readonly string[];
  /** Null: nobody has named any, or no incidents are written. */
  readonly #canaries: Canaries | null;
  readonly #keptEvidence: Keep;

  private constructor(
    database: Database,
    tables: Tables,
    { batchSize, retention, incidents, canaries = [], targets = [], events }: StoreOptions,
  ) {
    const maintenance = new Maintenance(database, tables);
    this.#canaries = canaries.length === 0 || !tables.hasIncidents
      ? null
      : new Canaries(database, () => this.#writer.tables, canaries);
    const tracker = incidents === undefined || !tables.hasIncidents ? null : new IncidentTracker(incidents, {
      marks: (identity, partitions) => this.marks.moved(identity, partitions),
      states: (addresses) => readHistory(database, this.#writer.tables, incidents, addresses, this.#canaries),
      maintenance: () => maintenance.windows(),
      canaries: this.#canaries,
    });
    this.marks = new Marks(database, tables, () => tracker?.forget());
    this.#database = database;
    this.#batchSize = batchSize ?? MAX_STATEMENT_SIZE;
    this.#events = events ?? SILENT;
    this.#targets = targets;
    this.outbox = new NotificationOutbox(
      database,
      () => this.#writer.tables,
      (address) => this.#canaries?.has(address) === true,
    );
    this.#keptEvidence = retention?.evidence ?? "all";
    this.#retention = retention === undefined ? null : new Retention({
      wanted: retention,
      tables: () => this.#writer.tables,
      onKept: (kept) => this.#writer.current.keepSince(kept),
      daysHolding: (beside, part) => daysHolding(beside, this.#writer.tables, part),
    });
    const look = async () => void await this.#retention?.look(database);
    this.#writer = new TableWriter(database, tables, {
      marks: this.marks,
      encoder: this.#encoder,
      most: this.#batchSize,
      events: this.#events,
      lookAtKept: look,
      tracker,
      targets,
    });
  }

  /**
   * Creates what is missing of the tables, and looks at what is there. Throws `SetupError`, with
   * the statements to run, if the role may not create them or the table cannot take metrics.
   */
  static async open(database: Database, table: TableName, options: StoreOptions = {}): Promise<Store> {
    const { partition, retention, incidents } = options;
    const deletions = retention === undefined ? NO_DELETIONS : deletionsOf(retention);
    const tables = await prepareTables(database, table, partition, deletions, incidents !== undefined);
    const store = new Store(database, tables, options);
    if (store.#writer.tables.hasKeep) await store.#retention?.look(database);
    // At the start too: the first message may be long in coming.
    await store.#writer.keepPartsAhead();
    return store;
  }

  /**
   * One line for each thing that a person should know of the table. Examples are a schema that was
   * created, and columns that are left alone.
   */
  get warnings(): readonly string[] {
    return this.#writer.tables.warnings;
  }

  /** Reads what a page tells, over a way to the database of its own. */
  reader(database: Database): HostReader {
    return new HostReader(database, () => this.#writer.tables, () => this.unknownPlaces);
  }

  get counters(): Counters {
    const { counters } = this.#writer;
    return { ...counters, rejected: counters.rejected + this.marks.skips };
  }

  /**
   * Lets go what is too old, again and again, until the result is disposed of. Beside everything
   * else: `open` gives a way to the database of its own.
   */
  retain(work: Omit<SweepingWork, "signal">): AsyncDisposable {
    const ending = new AbortController();
    const { signal } = ending;
    const isNeeded = this.#writer.tables.hasKeep;
    const running = Promise.all([
      isNeeded ? this.#retention?.run({ ...work, signal }) : null,
      this.#writer.tables.hasEvidence
        ? letEvidenceGo({ ...work, signal }, this.#writer.tables, this.#keptEvidence)
        : null,
    ]);
    return {
      async [Symbol.asyncDispose]() {
        ending.abort();
        await running;
      },
    };
  }

  /**
   * Makes the indexes of parts anew that get no more rows, until it is disposed of. It begins `after`
   * milliseconds, or a minute. What the server is at in the end goes on there.
   */
  packIndexes(work: Omit<SweepingWork, "signal">, after?: number): AsyncDisposable {
    const packing = new Packing(() => this.#writer.tables);
    return inBackground((signal) => packing.run({ ...work, signal }, after), LAST_BITE);
  }

  /**
   * Rolls up days in the background until it is disposed of. A statement that a silent server keeps
   * is then left: whatever becomes of it is right.
   */
  rollUpDays(): AsyncDisposable {
    const foreground = {
      quiet: (signal: AbortSignal) => this.#writer.quiet(signal),
      keptFrom: () => this.#writer.tables.kept?.from ?? null,
    };
    const rollUp = new RollUp(this.#database, this.#writer.tables, this.#events, foreground);
    return inBackground((signal) => rollUp.run(signal), LAST_BITE);
  }

  /** Looks for addresses that nobody checks now, until it is disposed of. */
  watchSilence(work: SilenceWork): AsyncDisposable {
    const { tables } = this.#writer;
    const watch = new SilenceWatch(this.#database, tables, this.#writer, this.#targets);
    const isPossible = tables.hasIncidents && tables.columns.includes("next_at");
    return inBackground((signal) => isPossible ? watch.run(work, signal) : Promise.resolve(), LAST_BITE);
  }

  /** Looks for places whose canaries are all down, until it is disposed of. */
  watchCanaries(events: CanaryEvents): AsyncDisposable {
    return inBackground((signal) => this.#canaries?.run(events, signal) ?? Promise.resolve(), LAST_BITE);
  }

  /** The places whose canaries are all down. */
  get unknownPlaces(): readonly (string | null)[] {
    return this.#canaries?.unknownPlaces() ?? [];
  }

  /** Encodes messages for the statement: this can be done while the database is busy. */
  encode(entries: readonly Entry[]): EncodedBatch {
    const most = { messages: this.#batchSize, bytes: MAX_STATEMENT_BYTES };
    return this.#encoder.encode(entries, this.#writer.tables, most);
  }

  /**
   * Stores messages, given in their order of arrival, and moves the marks of their partitions.
   * Messages below a mark are left out. A message that the database refuses goes to the rejected,
   * the others are stored. If the database would refuse any message, that is a `SetupError`, and
   * none is rejected. It takes one statement for each `batchSize` messages. Gives "reopen" if a
   * mark is missing, stands before a range, or was skipped since it was claimed: nothing of that
   * partition is stored then.
   */
  async flush(identity: TopicIdentity, ranges: OffsetRanges, entries: readonly Entry[]): Promise<StoreOutcome> {
    return await this.flushEncoded(identity, ranges, [this.encode(entries)]);
  }

  /** True if incidents are written: whoever is to be told of them can be. */
  get hasIncidents(): boolean {
    return this.#writer.tables.hasIncidents;
  }

  /** As `flush`, with the batches that `encode` has made of the messages, in their order. */
  async flushEncoded(
    identity: TopicIdentity,
    ranges: OffsetRanges,
    batches: readonly EncodedBatch[],
  ): Promise<StoreOutcome> {
    this.#writer.begin();
    return await this.#storeInOrder(identity, { ranges, slices: batches.flatMap(({ slices }) => slices) });
  }

  /**
   * Sends a batch while the one before it is under way, so that the database need not wait for its
   * next work. True if it is stored. False tells nothing: `flushEncoded` it once the other one is
   * stored. If the other one fails, this one finds a mark below its ranges, and stores nothing of
   * them (docs/promises.md). Never rejects.
   */
  async flushEarly(
    identity: TopicIdentity,
    ranges: OffsetRanges,
    batches: readonly EncodedBatch[],
  ): Promise<boolean> {
    const slices = batches.flatMap((batch) => batch.slices);
    const bytes = slices.reduce((sum, slice) => sum + slice.bytes, 0);
    if (countOf({ ranges, slices }) > this.#writer.most || bytes > MAX_STATEMENT_BYTES) return false;
    return await this.#writer.storeEarly(identity, { ranges, slices });
  }

  /** Stores one portion after the other: each begins at the end of the one before. */
  async #storeInOrder(identity: TopicIdentity, batch: Portion<BatchSlice>): Promise<StoreOutcome> {
    for (const portion of portions(batch, () => this.#most)) {
      if (await this.#store(identity, this.#fit(portion)) === "reopen") return "reopen";
    }
    return "stored";
  }

  get #most(): Most {
    return { messages: this.#writer.most, bytes: MAX_STATEMENT_BYTES };
  }

  /** Encodes a slice anew that was encoded when statements were larger. */
  #fit({ ranges, slices }: Portion<BatchSlice>): Portion<BatchSlice> {
    const { most, tables } = this.#writer;
    const divide = ({ entries }: BatchSlice) => this.#encoder.encode(entries, tables, this.#most).slices;
    return { ranges, slices: slices.flatMap((slice) => slice.entries.length > most ? divide(slice) : [slice]) };
  }

  async #store(identity: TopicIdentity, portion: Portion<BatchSlice>): Promise<StoreOutcome> {
    if (countOf(portion) > this.#writer.most) return await this.#storeInOrder(identity, portion);
    try {
      return await this.#writer.store(identity, portion);
    } catch (error) {
      if (isRefusal(error)) return await new RefusedBatch(this.#database, this.#writer, identity).store(portion, error);
      if (!isCancelled(error) || countOf(portion) <= 1) throw error;
      return await this.#storeInOrder(identity, portion);
    }
  }
}

/** The days of a part that are not rolled up, where there are daily rows at all. */
async function daysHolding(database: Database, tables: Tables, part: OldPart): Promise<readonly string[]> {
  if (!tables.hasDays) return [];
  const span = await boundedSpan(database, part);
  return span === null ? [] : await unsettledDays(database, tables, span);
}
