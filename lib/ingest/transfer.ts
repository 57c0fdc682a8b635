import { type BatchCause, batches, type BatchLimits, type Measure } from "../async/batches.ts";
import { pause } from "../async/retry.ts";
import { until } from "../async/waits.ts";
import type { ConsumerSession, KafkaConsumer } from "../kafka/kafka.ts";
import { joinRanges, type Store } from "../postgres/store.ts";
import type { DatabaseEvents } from "./database_wait.ts";
import { Flushes, type StoredBatch } from "./flushes.ts";
import { MarkLookup } from "./mark_lookup.ts";
import { type ReaderEvents, readMessages, type ReadyMessages } from "./message_reader.ts";
import { OffsetGaps } from "./offset_gaps.ts";

export type { StoredBatch } from "./flushes.ts";

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
  const flushes = new Flushes(session, consumer, store, options);
  options.events.began(session);
  let cause: BatchCause = "end";
  const source = until(readMessages(session, store, gaps, options), flushes.ended);
  const work = () => flushes.last;
  // Two are under way at most: one at the database, and a full one behind it.
  for await (const ready of batches(source, options.limits, MEASURE, (why) => cause = why, work)) {
    const encoded = ready.map(({ batch }) => batch);
    const ranges = joinRanges(ready.map(({ ranges }) => ranges));
    const before = flushes.last;
    flushes.add({ ranges, encoded, cause, gap: ready.at(-1)?.gap ?? null });
    const why = await before;
    if (why !== null) return why;
  }
  return await flushes.last;
}
