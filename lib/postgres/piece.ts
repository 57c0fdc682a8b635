import { bytesOf, type Entry } from "./entry.ts";

/**
 * Which topic messages came from: its id, by which marks are kept, and its name for a person.
 * Standard input counts as a topic too.
 */
export interface TopicIdentity {
  readonly topic: string;
  readonly topicId: string;
}

/**
 * The stretch of a partition that a batch covers, `next` excluded. `start` is the offset that was
 * asked for, not the first message's. `epoch` is that of the last message.
 */
export interface OffsetRange {
  readonly start: number;
  readonly next: number;
  readonly epoch?: number | null;
}

export type OffsetRanges = ReadonlyMap<number, OffsetRange>;

/**
 * The content of one statement: messages in their order of arrival, and how far each partition
 * gets.
 */
export interface Piece {
  readonly ranges: OffsetRanges;
  readonly entries: readonly Entry[];
}

/**
 * A piece whose messages are encoded for the statement, in slices. A slice is never divided here.
 */
export interface Portion<S> {
  readonly ranges: OffsetRanges;
  readonly slices: readonly S[];
}

/** The most that a statement may hold, unless a single message is more. */
export interface Most {
  readonly messages: number;
  /** Bytes of keys and values. */
  readonly bytes: number;
}

/**
 * Cuts a piece before entry number `at`. Stored one after the other, the two have the effect of the
 * whole. The first ends behind its last messages. The second begins there, and ends where the whole
 * does.
 */
export function cut({ ranges, entries }: Piece, at: number): [Piece, Piece] {
  const left = entries.slice(0, at);
  const [leftRanges, rightRanges] = cutRanges(ranges, left);
  return [{ ranges: leftRanges, entries: left }, { ranges: rightRanges, entries: entries.slice(at) }];
}

/** Puts two pieces together that `cut` has made. */
export function join(left: Piece, right: Piece): Piece {
  return { ranges: joinRanges([left.ranges, right.ranges]), entries: [...left.entries, ...right.entries] };
}

/** The range of each partition, from its first start to its last end. */
export function joinRanges(successive: readonly OffsetRanges[]): OffsetRanges {
  const joined = new Map<number, OffsetRange>();
  for (const [partition, range] of successive.flatMap((ranges) => [...ranges])) {
    joined.set(partition, { ...range, start: joined.get(partition)?.start ?? range.start });
  }
  return joined;
}

function cutRanges(ranges: OffsetRanges, left: Iterable<Entry>): [left: OffsetRanges, right: OffsetRanges] {
  const leftRanges = new Map<number, OffsetRange>();
  for (const { partition, offset, epoch } of left) {
    const start = ranges.get(partition)?.start ?? offset;
    leftRanges.set(partition, { start, next: offset + 1, epoch: epoch ?? null });
  }
  const rightRanges = new Map<number, OffsetRange>();
  for (const [partition, range] of ranges) {
    const start = leftRanges.get(partition)?.next ?? range.start;
    if (start < range.next) rightRanges.set(partition, { ...range, start });
  }
  return [leftRanges, rightRanges];
}

/**
 * Divides slices into portions that hold no more than `most()`, unless a single slice does. It is
 * asked anew for each portion: the one before may have changed it.
 */
export function* portions<S extends { readonly entries: readonly Entry[]; readonly bytes: number }>(
  { ranges, slices }: Portion<S>,
  most: () => Most,
): Generator<Portion<S>> {
  let rest = ranges;
  for (let from = 0, to = 0; from < slices.length || from === 0; from = to) {
    to = from + fitting(slices, from, most());
    const some = slices.slice(from, to);
    if (to >= slices.length) return yield { ranges: rest, slices: some };
    const [left, right] = cutRanges(rest, some.flatMap(({ entries }) => entries));
    yield { ranges: left, slices: some };
    rest = right;
  }
}

/** How many slices from number `from` on fit into one portion; at least one. */
function fitting(
  slices: readonly { readonly entries: readonly Entry[]; readonly bytes: number }[],
  from: number,
  most: Most,
): number {
  let [count, messages, bytes] = [0, 0, 0];
  for (let slice = slices[from]; slice !== undefined; slice = slices[from + count]) {
    messages += slice.entries.length;
    bytes += slice.bytes;
    if (count > 0 && (messages > most.messages || bytes > most.bytes)) break;
    count++;
  }
  return Math.max(count, 1);
}

/** Divides entries into runs of at most `most`, unless a single entry is more. */
export function* runs(entries: readonly Entry[], most: Most): Generator<readonly Entry[]> {
  let [from, bytes] = [0, 0];
  for (const [at, entry] of entries.entries()) {
    const size = bytesOf(entry);
    if (at > from && (at - from >= most.messages || bytes + size > most.bytes)) {
      yield entries.slice(from, at);
      [from, bytes] = [at, 0];
    }
    bytes += size;
  }
  if (from < entries.length) yield from === 0 ? entries : entries.slice(from);
}
