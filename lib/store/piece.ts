import type { Metric, Rejection } from "../metric.ts";

/** Where messages come from: what the marks are kept by, and what a person calls it. */
export interface Source {
  readonly topic: string;
  readonly topicId: string;
}

/** One message, read as a metric or with the reason why it is none. */
export interface Entry {
  readonly partition: number;
  readonly offset: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly content: Metric | Rejection;
}

/** The stretch of a partition that a batch covers, `next` excluded. `start` is the offset asked for, not the first message's. */
export interface Span {
  readonly start: number;
  readonly next: number;
}

/** What goes to the database in one statement: messages in the order they arrived in, and how far each partition gets. */
export interface Piece {
  readonly spans: ReadonlyMap<number, Span>;
  readonly entries: readonly Entry[];
}

/**
 * Cuts a piece before entry number `at`. Stored one after the other the two have the effect of the whole: the first ends
 * behind its last messages, the second begins there and ends where the whole does.
 */
export function cut({ spans, entries }: Piece, at: number): [Piece, Piece] {
  const left = entries.slice(0, at);
  const leftSpans = new Map<number, Span>();
  for (const { partition, offset } of left) {
    const start = spans.get(partition)?.start ?? offset;
    leftSpans.set(partition, { start, next: offset + 1 });
  }
  const rightSpans = new Map<number, Span>();
  for (const [partition, { start, next }] of spans) {
    const position = leftSpans.get(partition)?.next ?? start;
    if (position < next) rightSpans.set(partition, { start: position, next });
  }
  return [{ spans: leftSpans, entries: left }, { spans: rightSpans, entries: entries.slice(at) }];
}

/** Cuts a piece so that no part holds more than `maxBytes` of messages, unless a single one does. */
export function* portions(piece: Piece, maxBytes: number): Generator<Piece> {
  let rest = piece;
  for (let at = fitting(rest, maxBytes); at < rest.entries.length; at = fitting(rest, maxBytes)) {
    const [first, second] = cut(rest, at);
    yield first;
    rest = second;
  }
  yield rest;
}

/** How many entries from the first on fit into `maxBytes`; at least one. */
function fitting({ entries }: Piece, maxBytes: number): number {
  let bytes = 0;
  const beyond = entries.findIndex(({ key, value }) => {
    bytes += (key?.length ?? 0) + (value?.length ?? 0);
    return bytes > maxBytes;
  });
  return beyond === -1 ? entries.length : Math.max(beyond, 1);
}
