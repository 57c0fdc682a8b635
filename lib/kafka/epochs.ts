/** Messages from one offset to another (not included) that were written under one leader. */
interface Stretch {
  readonly from: number;
  to: number;
  readonly epoch: number;
}

/** Stretches of a partition that are remembered: a new one begins when the leader changes. */
const MOST_STRETCHES = 16;

/**
 * Under which leader's epoch messages were written, as far as they were read. A reading that begins
 * behind them tells the broker, which then notices where it has lost what was read (KIP-320). Of
 * one topic id at a time.
 */
export class Epochs {
  #topicId = "";
  readonly #read = new Map<number, Stretch[]>();

  /** From now on of this topic; what is known of another one is forgotten. */
  begin(topicId: string): void {
    if (topicId !== this.#topicId) this.#read.clear();
    this.#topicId = topicId;
  }

  /** Takes down under which epoch the message at `offset` was written; below 0 where that is not known. */
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

  /** Partitions that were read to these positions under an epoch that is not known. */
  unknown(positions: ReadonlyMap<number, number>): number[] {
    return [...positions].filter(([partition, next]) => next > 0 && this.before(partition, next) < 0).map(([one]) =>
      one
    );
  }

  /** The epoch of what was read last before `next`; -1 where that is not known. */
  before(partition: number, next: number): number {
    return this.#read.get(partition)?.findLast(({ from, to }) => from < next && next <= to)?.epoch ?? -1;
  }
}
