import { Heap } from "./heap.ts";

/** Who may wait for a slot. */
export interface Waiting {
  /** Failed last time, and took its time over it. */
  isSuspect: boolean;
  /** In the line; set to false to leave it. */
  isWaiting: boolean;
}

/** The part of the slots that suspects may hold at one time. */
const SUSPECTS_PART = 0.75;

/**
 * A limited number of slots for checks, and the line of those who wait for one, in order of due time. A host that never
 * answers holds its slot until the deadline, thousands of times longer than one that does; where many are like that, they
 * would hold all slots. So those that failed slowly last time share a part of them: they wait for each other, and nobody
 * else waits for them.
 */
export class Slots<T extends Waiting> {
  readonly #limit: number;
  readonly #suspectsLimit: number;
  readonly #line = new Heap<Place<T>>(({ since }) => since);
  readonly #suspectsLine = new Heap<Place<T>>(({ since }) => since);
  #held = 0;
  #heldBySuspects = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#suspectsLimit = Math.max(1, Math.floor(limit * SUSPECTS_PART));
  }

  /** How many slots are held. */
  get held(): number {
    return this.#held;
  }

  /** Joins the line, at the place of a due time (milliseconds since 1970). */
  join(who: T, since: number): void {
    who.isWaiting = true;
    (who.isSuspect ? this.#suspectsLine : this.#line).add({ who, since });
  }

  /** Gives a slot to whoever has waited longest and may have one; undefined where there is nobody, or no slot. */
  take(): Slot<T> | undefined {
    if (this.#held >= this.#limit) return undefined;
    const first = foremost(this.#line);
    const suspect = this.#heldBySuspects < this.#suspectsLimit ? foremost(this.#suspectsLine) : undefined;
    const isSuspect = suspect !== undefined && (first === undefined || suspect.since < first.since);
    const place = (isSuspect ? this.#suspectsLine : this.#line).take();
    if (place === undefined) return undefined;
    place.who.isWaiting = false;
    this.#held++;
    if (isSuspect) this.#heldBySuspects++;
    return { who: place.who, isSuspect };
  }

  /** Gives a slot back. */
  free({ isSuspect }: Slot<T>): void {
    this.#held--;
    if (isSuspect) this.#heldBySuspects--;
  }
}

/** A slot that is held. */
export interface Slot<T> {
  readonly who: T;
  /** Whose part of the slots it is of. */
  readonly isSuspect: boolean;
}

interface Place<T> {
  readonly who: T;
  readonly since: number;
}

/** The first in the line; places of those who have left are cleared away. */
function foremost<T extends Waiting>(line: Heap<Place<T>>): Place<T> | undefined {
  while (line.peek()?.who.isWaiting === false) line.take();
  return line.peek();
}
