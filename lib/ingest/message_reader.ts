import type { ConsumerSession, IncomingMessage, LogPositions, Positions } from "../kafka/kafka.ts";
import { decodeMetric, isRejection } from "../metric.ts";
import {
  type EncodedBatch,
  type Entry,
  type OffsetRange,
  type OffsetRanges,
  ReceivedEntry,
  type Store,
} from "../postgres/store.ts";
import type { OffsetGaps } from "./offset_gaps.ts";

/** Events of the reading of messages. */
export interface ReaderEvents {
  /** So many messages came again: they were read already, or are below their mark. */
  replayed(count: number): void;
  /** Messages that nobody will ever read. A row of the rejected table records them. */
  lost(what: string): void;
}

export interface ReaderOptions {
  /** Ends the reading. */
  readonly stop: AbortSignal;
  readonly events: ReaderEvents;
}

/** Messages that came together, ready to be stored. */
export interface ReadyMessages {
  readonly batch: EncodedBatch;
  readonly ranges: OffsetRanges;
  /** Why the session cannot go on behind them; null if it can. */
  readonly gap: string | null;
}

/** Reads messages as metrics, as they come. Ends at the first gap that is not lawful. */
export async function* readMessages(
  session: ConsumerSession,
  store: Store,
  gaps: OffsetGaps,
  { stop, events }: ReaderOptions,
): AsyncGenerator<ReadyMessages, void> {
  const tracker = new OffsetTracker(session.positions);
  const isLawful = ({ partition, since = Infinity }: IncomingMessage, to: number) => {
    const from = tracker.positions.get(partition);
    return from !== undefined &&
      (session.sparse === true || gaps.isLawful(session, { partition, from, to, since }, stop));
  };
  for await (const messages of session.messages) {
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

/** The messages to store, up to the first gap that is not lawful. */
async function accept(
  messages: readonly IncomingMessage[],
  tracker: OffsetTracker,
  isLawful: (message: IncomingMessage, first: number) => Promise<boolean> | boolean,
): Promise<{ entries: Entry[]; gap: string | null }> {
  const entries: Entry[] = [];
  for (const message of messages) {
    const { partition, offset, epoch = null } = message;
    const first = firstOffset(message, tracker);
    const kind = tracker.judge(partition, first);
    if (kind === "replay") continue;
    if (kind === "gap" && !(await isLawful(message, first))) {
      const gap = `partition ${partition} went on at offset ${first} instead of ${tracker.positions.get(partition)}`;
      return { entries, gap };
    }
    tracker.pass(partition, offset, epoch);
    entries.push(toEntry(message, first));
  }
  return { entries, gap: null };
}

/** The first offset that a message stands for and that has not been passed yet. */
function firstOffset({ partition, offset, unreadable }: IncomingMessage, { positions }: OffsetTracker): number {
  if (unreadable === undefined) return offset;
  return Math.max(unreadable.first, Math.min(positions.get(partition) ?? offset, offset));
}

/** A message with the metric in it, or why there is none. */
function toEntry(message: IncomingMessage, first: number): Entry {
  const { partition, offset, epoch = null, key, value, timestamp, keyLength, valueLength, unreadable } = message;
  if (unreadable === undefined && keyLength === undefined && valueLength === undefined) {
    return new ReceivedEntry(message);
  }
  const entry = { partition, offset, epoch, key, value };
  if (unreadable !== undefined) {
    return { ...entry, content: { reason: `offsets ${first} to ${offset} cannot be read: ${unreadable.why}` } };
  }
  const content = decodeMetric(value, timestamp, valueLength);
  if (keyLength === undefined || !isRejection(content)) return { ...entry, content };
  return { ...entry, content: { reason: `${content.reason}; its key has ${keyLength} bytes` } };
}

/** The meaning of a message's offset: the expected one, one already seen, or one behind a gap. */
type OffsetKind = "next" | "replay" | "gap";

/**
 * How far a session is in each of its partitions. It begins at the offsets that were asked for, not
 * at the first message. Only so a gap before the first message is seen.
 */
export class OffsetTracker {
  readonly #positions: Map<number, number>;
  #ranges = new Map<number, OffsetRange>();

  constructor(positions: LogPositions) {
    this.#positions = new Map(Array.from(positions, ([partition, { offset }]) => [partition, offset]));
  }

  /** The offset to read next of each partition. */
  get positions(): Positions {
    return this.#positions;
  }

  /** Judges `offset` by the position of its partition. A partition of another session is a gap. */
  judge(partition: number, offset: number): OffsetKind {
    const position = this.#positions.get(partition) ?? -1;
    if (position === offset) return "next";
    return position < offset ? "gap" : "replay";
  }

  /** Moves past the message at `offset`, which the leader of this epoch wrote. */
  pass(partition: number, offset: number, epoch: number | null): void {
    const position = this.#positions.get(partition) ?? offset;
    const start = this.#ranges.get(partition)?.start ?? position;
    this.#ranges.set(partition, { start, next: offset + 1, epoch });
    this.#positions.set(partition, offset + 1);
  }

  /** The ranges passed since the last call: one for each partition that moved. */
  takeRanges(): ReadonlyMap<number, OffsetRange> {
    const ranges = this.#ranges;
    this.#ranges = new Map();
    return ranges;
  }
}
