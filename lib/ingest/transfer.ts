import { type BatchCause, batches, type BatchLimits, type Measure } from "../async/batches.ts";
import { pause } from "../async/retry.ts";
import type { ConsumerSession, KafkaConsumer, LogPositions } from "../kafka/kafka.ts";
import { isRejection } from "../metric.ts";
import { type EncodedBatch, joinRanges, type Store } from "../postgres/store.ts";
import { type DatabaseEvents, untilAnswered } from "./database_wait.ts";
import { MarkLookup } from "./mark_lookup.ts";
import { type ReaderEvents, readMessages, type ReadyMessages } from "./message_reader.ts";
import { OffsetGaps } from "./offset_gaps.ts";

/** Events of a transfer that a person wants to know of. */
export interface TransferEvents extends DatabaseEvents, ReaderEvents {
  /** Messages are read from the marks from now on. */
  began(session: ConsumerSession): void;
  /** A batch is in the table. */
  stored(batch: StoredBatch): void;
  /**
   * The marks in the table and the session do not fit together: messages are read again from the
   * marks.
   */
  reopened(why: string): void;
}

export interface StoredBatch {
  readonly messages: number;
  /** The place up to which each partition is stored. */
  readonly positions: LogPositions;
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
  const marks = new MarkLookup(store, options);
  const gaps = new OffsetGaps();
  const again = { why: "", times: 0 };
  for await (const session of consumer.readings((assignment) => marks.find(assignment), options.stop)) {
    const reopened = await storeSession(session, consumer, store, gaps, options);
    if (reopened === null) continue;
    options.events.reopened(reopened);
    again.times = reopened === again.why ? again.times + 1 : 0;
    again.why = reopened;
    // A client that leaves out the same messages each time must not be asked without a pause.
    if (again.times > 1) await pause(again.times, options.stop);
  }
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
const MEASURE: Measure<ReadyMessages> = {
  count: ({ batch }) => batch.entries.length,
  weigh: ({ batch }) => batch.bytes + 100 * (batch.entries.length + 1),
  most: READ_AHEAD,
};

/** Stores one session. Gives null at its end, or the reason why it must be begun anew. */
async function storeSession(
  session: ConsumerSession,
  consumer: KafkaConsumer,
  store: Store,
  gaps: OffsetGaps,
  options: TransferOptions,
): Promise<string | null> {
  const { assignment } = session;
  const positions = new Map(session.positions);
  options.events.began(session);
  let cause: BatchCause = "end";
  const source = readMessages(session, store, gaps, options);
  for await (const ready of batches(source, options.limits, MEASURE, (why) => cause = why)) {
    const encoded = ready.map(({ batch }) => batch);
    const ranges = joinRanges(ready.map(({ ranges }) => ranges));
    if (ranges.size > 0) {
      const began = performance.now();
      const outcome = await untilAnswered(() => store.flushEncoded(assignment, ranges, encoded), options);
      if (outcome === "reopen") return "the marks in the table have been set elsewhere, or are gone";
      for (const [partition, { next, epoch }] of ranges) {
        positions.set(partition, { offset: next, epoch: epoch ?? null });
      }
      // Deliberately not awaited: the commit is only a hint, and the next batch need not wait for
      // it.
      void consumer.commit(positions);
      const messages = encoded.reduce((sum, { entries }) => sum + entries.length, 0);
      const seconds = (performance.now() - began) / 1000;
      options.events.stored({ messages, positions, cause, seconds, newest: newestOf(encoded) });
    }
    // Looked at even if the batch holds nothing to store. If not, a client that skipped ahead would
    // do so to the log's end.
    const gap = ready.at(-1)?.gap ?? null;
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
