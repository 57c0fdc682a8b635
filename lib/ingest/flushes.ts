import type { BatchCause } from "../async/batches.ts";
import type { ConsumerSession, KafkaConsumer, LogPosition, LogPositions } from "../kafka/kafka.ts";
import { isRejection } from "../metric.ts";
import type { EncodedBatch, Entry, OffsetRanges, Store } from "../postgres/store.ts";
import { type DatabaseEvents, type DatabaseWait, untilAnswered } from "./database_wait.ts";

/**
 * A batch is sent before the answer to the one before it only if that took so many seconds at most.
 * A batch waits at the server for the one before it, and its time limit runs meanwhile.
 */
const SHORT_FLUSH = 1;

/** A batch that the store has taken. */
export interface StoredBatch {
  readonly messages: number;
  readonly entries: Iterable<Entry>;
  /** The place up to which each partition is stored. */
  readonly positions: LogPositions;
  readonly cause: BatchCause;
  /** The time that the database took, including the wait for one that is away. */
  readonly seconds: number;
  /** The newest `checked_at` in it, in milliseconds since 1970; NaN if it holds no metric. */
  readonly newest: number;
}

/** How to wait for the database, and who hears of what is stored. */
export interface FlushOptions extends DatabaseWait {
  readonly events: DatabaseEvents & { stored(batch: StoredBatch): void };
}

/** A batch on its way to the store. */
export interface Flush {
  readonly ranges: OffsetRanges;
  readonly encoded: readonly EncodedBatch[];
  readonly cause: BatchCause;
  /** Why the session cannot go on behind it; null if it can. */
  readonly gap: string | null;
}

/** The batches of a session on their way to the store, each in its turn. */
export class Flushes {
  readonly #session: ConsumerSession;
  readonly #consumer: KafkaConsumer;
  readonly #store: Store;
  readonly #options: FlushOptions;
  readonly #positions: Map<number, LogPosition>;
  readonly #ended = new AbortController();
  #last: Promise<string | null> = Promise.resolve(null);
  #underWay = 0;
  /** The time that the database took for the last one. */
  #seconds = Infinity;

  constructor(session: ConsumerSession, consumer: KafkaConsumer, store: Store, options: FlushOptions) {
    this.#session = session;
    this.#consumer = consumer;
    this.#store = store;
    this.#options = options;
    this.#positions = new Map(session.positions);
  }

  /**
   * Settles when everything added is stored: with null, or the reason why the session must be begun
   * anew. Nothing is stored behind a batch that is not.
   */
  get last(): Promise<string | null> {
    return this.#last;
  }

  /** Aborts where nothing more can be stored. `last` tells why. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Stores a batch in its turn. If another one is at the database, it is sent behind that one. */
  add(flush: Flush): void {
    const isEarly = this.#underWay > 0 && this.#seconds <= SHORT_FLUSH && flush.ranges.size > 0;
    const early = isEarly ? this.#store.flushEarly(this.#session.assignment, flush.ranges, flush.encoded) : null;
    this.#underWay++;
    this.#last = this.#inTurn(this.#last, flush, early).finally(() => this.#underWay--);
    const end = () => this.#ended.abort();
    this.#last.then((why) => why !== null && end(), end);
  }

  async #inTurn(before: Promise<string | null>, flush: Flush, early: Promise<boolean> | null): Promise<string | null> {
    const why = await before;
    // Looked at even if the batch holds nothing to store. If not, a client that skipped ahead would
    // do so to the log's end.
    return why ?? (flush.ranges.size > 0 ? await this.#flush(flush, early) : null) ?? flush.gap;
  }

  /** `early` settles with true if the batch was sent early, and is stored. */
  async #flush({ ranges, encoded, cause }: Flush, early: Promise<boolean> | null): Promise<string | null> {
    const began = performance.now();
    const flush = () => this.#store.flushEncoded(this.#session.assignment, ranges, encoded);
    const isStored = await early === true || await untilAnswered(flush, this.#options) === "stored";
    if (!isStored) return "the marks in the table have been set elsewhere, or are gone";
    for (const [partition, { next, epoch }] of ranges) {
      this.#positions.set(partition, { offset: next, epoch: epoch ?? null });
    }
    // Deliberately not awaited: the commit is only a hint, and the next batch need not wait for it.
    void this.#consumer.commit(this.#positions);
    const messages = encoded.reduce((sum, { entries }) => sum + entries.length, 0);
    const seconds = this.#seconds = (performance.now() - began) / 1000;
    const newest = newestOf(encoded);
    const entries = entriesOf(encoded);
    this.#options.events.stored({ messages, entries, positions: this.#positions, cause, seconds, newest });
    return null;
  }
}

function* entriesOf(encoded: readonly EncodedBatch[]): Generator<Entry, void> {
  for (const { entries } of encoded) yield* entries;
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
