/** Messages from one offset to another (not included) that one leader wrote. */
interface Stretch {
  readonly from: number;
  to: number;
  readonly epoch: number;
}

/** The most stretches to remember of a partition: a new one begins when the leader changes. */
const MOST_STRETCHES = 16;

/**
 * The leaders' epochs of the messages that were read, of one topic id at a time. A reading that
 * begins behind them tells the broker, which then notices where it has lost some (KIP-320).
 */
export class Epochs {
  #topicId = "";
  readonly #read = new Map<number, Stretch[]>();

  /** Begins with this topic, and forgets any other one. */
  begin(topicId: string): void {
    if (topicId !== this.#topicId) this.#read.clear();
    this.#topicId = topicId;
  }

  /** Takes down the epoch of the message at `offset`; below 0 where it is not known. */
  note(partition: number, offset: number, epoch: number): void {
    if (epoch < 0 || offset < 0) return;
    const stretches = this.#read.get(partition) ?? [];
    const last = stretches.at(-1);
    if (last?.epoch === epoch && last.from <= offset) {
      last.to = Math.max(last.to, offset + 1);
      return;
    }
    const before = stretches.filter(({ from }) => from < offset).slice(1 - MOST_STRETCHES);
    this.#read.set(partition, [...before, { from: offset, to: offset + 1, epoch }]);
  }

  /** Partitions that were read to these positions, with no epoch known. */
  unknown(positions: ReadonlyMap<number, number>): number[] {
    return [...positions].filter(([partition, next]) => next > 0 && this.before(partition, next) < 0).map(([one]) =>
      one
    );
  }

  /** The epoch of the last message before `next`; -1 where it is not known. */
  before(partition: number, next: number): number {
    return this.#read.get(partition)?.findLast(({ from, to }) => from < next && next <= to)?.epoch ?? -1;
  }
}
