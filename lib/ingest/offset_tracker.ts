import type { LogPositions, Positions } from "../kafka/kafka.ts";
import type { OffsetRange } from "../postgres/store.ts";

/** The meaning of a message's offset: the expected one, one already seen, or one behind a gap. */
export type OffsetKind = "next" | "replay" | "gap";

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
