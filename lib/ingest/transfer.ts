import { type BatchCause, batches, type BatchLimits, type Measure } from "../async/batches.ts";
import { pause, retry } from "../async/retry.ts";
import { unlessAborted } from "../async/unless_aborted.ts";
import type {
  AssignedPartition,
  Assignment,
  ConsumerSession,
  IncomingMessage,
  KafkaConsumer,
  Positions,
} from "../kafka/kafka.ts";
import { decodeMetric, isRejection, type Metric, type Rejection } from "../metric.ts";
import { classifyError } from "../postgres/database.ts";
import {
  type EncodedBatch,
  type Entry,
  joinRanges,
  type OffsetRanges,
  type Source,
  type Store,
} from "../postgres/store.ts";
import { OffsetGaps } from "./offset_gaps.ts";
import { OffsetTracker } from "./offset_tracker.ts";

/** Events of a transfer that a person wants to know of. */
export interface TransferEvents {
  /** The database does not answer. Said once; the transfer tries again and again. */
  waiting(error: unknown): void;
  /** The database answers again, after so many seconds. */
  recovered(seconds: number): void;
  /** Messages are read from the marks from now on. */
  began(reading: ConsumerSession): void;
  /** A batch is in the table. */
  stored(batch: StoredBatch): void;
  /** So many messages came again: they were read already, or are below their mark. */
  replayed(count: number): void;
  /** Messages that nobody will ever read. A row of the rejected table records them. */
  lost(what: string): void;
  /**
   * The marks in the table and the session do not fit together: messages are read again from the
   * marks.
   */
  reopened(why: string): void;
}

export interface StoredBatch {
  readonly messages: number;
  /** The offset up to which each partition is stored. */
  readonly positions: Positions;
  readonly cause: BatchCause;
  /** The time that the database took, including the wait for one that is away. */
  readonly seconds: number;
  /** The newest `checked_at` in it, in milliseconds since 1970; NaN if it holds no metric. */
  readonly newest: number;
}

export interface TransferOptions {
  readonly limits: BatchLimits;
  /** Ends the reading. Messages that were read are still stored. */
  readonly stop: AbortSignal;
  /**
   * Ends the wait for a database too. Messages that could not be stored are dropped: Kafka still
   * has them.
   */
  readonly giveUp: AbortSignal;
  readonly events: TransferEvents;
}

/**
 * Carries every message from `consumer` to `store`, batch by batch, until `stop` aborts or the
 * source ends. The marks in the database decide what is read: each session begins at them. A
 * session that no longer fits them is begun anew. Throws a failure that waiting cannot mend. Throws
 * the database's last failure if `giveUp` aborts first.
 */
export async function transfer(consumer: KafkaConsumer, store: Store, options: TransferOptions): Promise<void> {
  const resume = new Resumption(store, options);
  const gaps = new OffsetGaps();
  const again = { why: "", times: 0 };
  for await (const reading of consumer.readings((assignment) => resume.position(assignment), options.stop)) {
    const reopened = await storeReading(reading, consumer, store, gaps, options);
    if (reopened === null) continue;
    options.events.reopened(reopened);
    again.times = reopened === again.why ? again.times + 1 : 0;
    again.why = reopened;
    // A client that leaves out the same messages each time must not be asked without a pause.
    if (again.times > 1) await pause(again.times, options.stop);
  }
}

/** Messages that came together, ready to be stored. */
interface Arrival {
  readonly batch: EncodedBatch;
  readonly ranges: OffsetRanges;
  /** Why the session cannot go on behind them; null if it can. */
  readonly gap: string | null;
}

/**
 * Bytes of messages that are read while the database is busy: some 2,000 metrics. A statement holds
 * no more either.
 */
const READ_AHEAD = 1024 * 1024;

/**
 * A message takes more memory than its bytes. Replays take some too, though nothing of them is
 * stored.
 */
const MEASURE: Measure<Arrival> = {
  count: ({ batch }) => batch.entries.length,
  weigh: ({ batch }) => batch.bytes + 100 * (batch.entries.length + 1),
  most: READ_AHEAD,
};

/** Stores one session. Gives null at its end, or the reason why it must be begun anew. */
async function storeReading(
  reading: ConsumerSession,
  consumer: KafkaConsumer,
  store: Store,
  gaps: OffsetGaps,
  options: TransferOptions,
): Promise<string | null> {
  const { assignment } = reading;
  const positions = new Map(reading.positions);
  options.events.began(reading);
  let cause: BatchCause = "end";
  const source = arrivals(reading, store, gaps, options);
  for await (const batch of batches(source, options.limits, MEASURE, (why) => cause = why)) {
    const encoded = batch.map(({ batch }) => batch);
    const ranges = joinRanges(batch.map(({ ranges }) => ranges));
    if (ranges.size > 0) {
      const began = performance.now();
      const outcome = await waitFor(() => store.flushEncoded(assignment, ranges, encoded), options);
      if (outcome === "reopen") return "the marks in the table have moved back or are gone";
      for (const [partition, { next }] of ranges) positions.set(partition, next);
      // Deliberately not awaited: the commit is only a hint, and the next batch need not wait for
      // it.
      void consumer.commit(positions);
      const messages = encoded.reduce((sum, { entries }) => sum + entries.length, 0);
      const seconds = (performance.now() - began) / 1000;
      options.events.stored({ messages, positions, cause, seconds, newest: newestOf(encoded) });
    }
    // Looked at even if the batch holds nothing to store. If not, a client that skipped ahead would
    // do so to the log's end.
    const gap = batch.at(-1)?.gap ?? null;
    if (gap !== null) return gap;
  }
  return null;
}

/** When the newest of the metrics was made, in milliseconds since 1970; NaN if there is none. */
function newestOf(encoded: readonly EncodedBatch[]): number {
  // Metrics come in about the order in which they were made: the last one is new enough.
  for (const { entries } of encoded.toReversed()) {
    const last = entries.findLast(({ content }) => !isRejection(content));
    if (last !== undefined && !isRejection(last.content)) return Date.parse(last.content.checked_at ?? "");
  }
  return NaN;
}

/** Reads messages as metrics, as they come. Ends behind the first hole that is not believed. */
async function* arrivals(
  reading: ConsumerSession,
  store: Store,
  gaps: OffsetGaps,
  { stop, events }: TransferOptions,
): AsyncGenerator<Arrival, void> {
  const tracker = new OffsetTracker(reading.positions);
  const isLawful = ({ partition, since = Infinity }: IncomingMessage, to: number) => {
    const from = tracker.positions.get(partition);
    return from !== undefined &&
      (reading.sparse === true || gaps.isLawful(reading, { partition, from, to, since }, stop));
  };
  for await (const messages of reading.messages) {
    const { entries, gap } = await accept(messages, tracker, isLawful);
    if (gap === null && entries.length < messages.length) events.replayed(messages.length - entries.length);
    for (const { partition, offset, unreadable } of messages) {
      const entry = unreadable && entries.find((each) => each.partition === partition && each.offset === offset);
      if (entry !== undefined && isRejection(entry.content)) {
        events.lost(`partition ${partition}: ${entry.content.reason}`);
      }
    }
    yield { batch: store.encode(entries), ranges: tracker.takeRanges(), gap };
    if (gap !== null) return;
  }
}

/** The messages to store, up to the first one behind a hole that is not lawful. */
async function accept(
  messages: readonly IncomingMessage[],
  tracker: OffsetTracker,
  isLawful: (message: IncomingMessage, first: number) => Promise<boolean> | boolean,
): Promise<{ entries: Entry[]; gap: string | null }> {
  const entries: Entry[] = [];
  for (const message of messages) {
    const { partition, offset, key, value } = message;
    const first = firstOf(message, tracker);
    const arrival = tracker.judge(partition, first);
    if (arrival === "replay") continue;
    if (arrival === "gap" && !(await isLawful(message, first))) {
      const gap = `partition ${partition} went on at offset ${first} instead of ${tracker.positions.get(partition)}`;
      return { entries, gap };
    }
    tracker.pass(partition, offset);
    entries.push({ partition, offset, key, value, content: read(message, first) });
  }
  return { entries, gap: null };
}

/** The first offset that a message stands for and that has not been passed yet. */
function firstOf({ partition, offset, unreadable }: IncomingMessage, { positions }: OffsetTracker): number {
  if (unreadable === undefined) return offset;
  return Math.max(unreadable.first, Math.min(positions.get(partition) ?? offset, offset));
}

/** The metric in a message, or why there is none. */
function read(message: IncomingMessage, first: number): Metric | Rejection {
  const { offset, value, timestamp, keyLength, valueLength, unreadable } = message;
  if (unreadable !== undefined) return { reason: `offsets ${first} to ${offset} cannot be read: ${unreadable.why}` };
  const content = decodeMetric(value, timestamp, valueLength);
  if (keyLength === undefined || !isRejection(content)) return content;
  return { reason: `${content.reason}; its key has ${keyLength} bytes` };
}

/**
 * Finds where to read each partition from: at its mark. If the log no longer has that offset, moves
 * the mark.
 */
class Resumption {
  readonly #store: Store;
  readonly #options: TransferOptions;
  /** Partitions whose log ended before the mark at the last look. */
  readonly #short = new Set<string>();

  constructor(store: Store, options: TransferOptions) {
    this.#store = store;
    this.#options = options;
  }

  async position(assignment: Assignment): Promise<Positions> {
    await this.#claimFirst(assignment);
    const starts = new Map(assignment.partitions.map(({ partition, logStart }) => [partition, logStart]));
    const claim = () => waitFor(() => this.#store.marks.claim(assignment, starts), this.#options);
    const marks = await claim();
    let moved = false;
    for (const partition of assignment.partitions) {
      const mark = marks.get(partition.partition);
      if (mark !== undefined && await this.#recordLoss(assignment, partition, mark)) moved = true;
    }
    return moved ? await claim() : marks;
  }

  /**
   * Gives all partitions of a topic their first marks, at `--kafka-start`, if no topic of this name
   * has a mark. It gives them all at once. A partition that gets none now was not there yet, or
   * nobody could say where it ends. It is later read from its first message.
   */
  async #claimFirst(assignment: Assignment): Promise<void> {
    const { firstStarts, partitions } = assignment;
    if (firstStarts === undefined || partitions.length === 0) return;
    if (await waitFor(() => this.#store.marks.knows(assignment), this.#options)) return;
    const starts = await firstStarts();
    await waitFor(() => this.#store.marks.claimFirst(assignment, starts), this.#options);
  }

  /** Moves the mark to an offset that the log can give, and records the loss. True if it did. */
  async #recordLoss(source: Source, range: AssignedPartition, mark: number): Promise<boolean> {
    const { partition, logStart, logEnd, cutAt = mark } = range;
    if (mark < logStart) {
      const reason =
        `offsets ${mark} to ${logStart - 1} of partition ${partition} were deleted from the topic before ` +
        `they were read: up to ${logStart - mark} messages are lost; lengthen the topic's retention`;
      return await this.#skip(source, partition, mark, logStart, reason);
    }
    if (cutAt < mark) {
      const reason =
        `partition ${partition} was cut at offset ${cutAt}, before the mark ${mark}: the broker has lost ` +
        `messages that it had acknowledged; what was written there since is read`;
      return await this.#skip(source, partition, mark, cutAt, reason);
    }
    const place = `${source.topicId}/${partition}/${mark}`;
    if (mark <= logEnd) {
      this.#short.delete(place);
      return false;
    }
    // A leader that has just been elected may show an end that is too low: one look is not enough.
    // Until the second look the mark stays, the client finds it out of range, and comes back here.
    if (!this.#short.has(place)) {
      this.#short.add(place);
      return false;
    }
    const reason = `partition ${partition} ends at offset ${logEnd}, before the mark ${mark}: the broker has lost ` +
      `messages that it had acknowledged; reading goes on at its end`;
    return await this.#skip(source, partition, mark, logEnd, reason);
  }

  async #skip(source: Source, partition: number, from: number, to: number, reason: string): Promise<boolean> {
    let tries = 0;
    const skip = () => {
      tries++;
      return this.#store.marks.skip(source, partition, from, to, reason);
    };
    // The answer to an earlier try may have been lost, though that try succeeded.
    const done = await waitFor(skip, this.#options) ||
      tries > 1 && await waitFor(() => this.#store.marks.hasSkipped(source, partition, from, reason), this.#options);
    if (done) this.#options.events.lost(reason);
    return true; // Also where another consumer moved the mark first: the marks are read again.
  }
}

function silence(): Error {
  return Object.assign(new Error("PostgreSQL does not answer"), { code: "ETIMEDOUT" });
}

/**
 * Tries until the database has answered. It waits for failures that pass by themselves, and for as
 * long as the program may.
 */
async function waitFor<T>(work: () => Promise<T>, { giveUp, events }: TransferOptions): Promise<T> {
  let failure: unknown;
  const attempt = async () => {
    try {
      return await work();
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const tries = retry(attempt, {
    signal: giveUp,
    isPassing: (error) => classifyError(error) === "wait",
    onWait: (error) => events.waiting(error),
    onRecovery: (seconds) => events.recovered(seconds),
  });
  try {
    // A silent database is noticed only at its time limit, and nobody waits that long any more.
    return await unlessAborted(tries, giveUp);
  } catch (error) {
    throw giveUp.aborted ? failure ?? silence() : error;
  }
}
