/** Milliseconds and pulls between two looks: a reader that was busy in between has not given the client a chance. */
const LOOK_EVERY = 3_000;
const PULLS_BETWEEN = 10;

/** What was seen of a partition: the offset to read next, and where the log ended. */
interface Seen {
  readonly next: number;
  readonly end: number;
}

/** A partition that gives nothing though there is more. */
export interface Stall {
  readonly partition: number;
  /** True where it stood at the same offset the last time that it stalled: the reading begun since gave nothing either. */
  readonly isAgain: boolean;
}

/**
 * Finds a partition that has stopped giving messages though its log goes on, or has become shorter. librdkafka stops reading
 * a partition whose offset is out of range, and its add-on tells only where the error comes alone, not where it comes
 * together with messages of other partitions.
 */
export class StallWatch {
  readonly #clock: () => number;
  #lastLook = 0;
  #pulls = 0;
  #seen = new Map<number, Seen>();
  /** The last stall of each partition. What comes last in a log may be no message, but the mark of a transaction. */
  readonly #blamed = new Map<number, Seen>();
  /** Where each partition stood when a new client was last asked for: a second one would not help either. */
  readonly #given = new Map<number, number>();

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** A new reading begins. */
  begin(): void {
    this.#seen.clear();
    this.#rest();
  }

  /** Counts a pull that brought all there was; true where it is time to ask for the logs' ends and to call `stalled`. */
  isDue(): boolean {
    this.#pulls++;
    if (this.#pulls < PULLS_BETWEEN || this.#clock() - this.#lastLook < LOOK_EVERY) return false;
    this.#rest();
    return true;
  }

  /** The partition that stands where it stood at the last look, and not at the end of its log. One before the end is told once. */
  stalled(positions: ReadonlyMap<number, number>, ends: ReadonlyMap<number, number>): Stall | undefined {
    const before = this.#seen;
    this.#seen = new Map();
    for (const [partition, end] of ends) this.#seen.set(partition, { next: positions.get(partition) ?? end, end });
    const found = [...this.#seen].find(([partition, now]) => {
      const last = before.get(partition);
      const stands = last !== undefined && last.next === now.next && last.end !== last.next && now.end !== now.next;
      return stands && (now.end < now.next || !isSame(this.#blamed.get(partition), now));
    });
    if (found === undefined) return undefined;
    const [partition, now] = found;
    const isAgain = this.#blamed.get(partition)?.next === now.next && this.#given.get(partition) !== now.next;
    if (isAgain) this.#given.set(partition, now.next);
    this.#blamed.set(partition, now);
    return { partition, isAgain };
  }

  #rest(): void {
    this.#pulls = 0;
    this.#lastLook = this.#clock();
  }
}

function isSame(one: Seen | undefined, other: Seen): boolean {
  return one !== undefined && one.next === other.next && one.end === other.end;
}
