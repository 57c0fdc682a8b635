import { Heap } from "./heap.ts";

/**
 * What is known of a host: its last check took little time, it took long (and the host was well), it took long and failed, or there
 * was none yet.
 */
export type Standing = "quick" | "slow" | "suspect" | "unknown";

/** Who may wait for a slot. */
export interface Waiting {
  /** Does not change while it waits. */
  readonly standing: Standing;
  /** In the line; set to false to leave it. */
  isWaiting: boolean;
}

/** The part of the slots that suspects and hosts that nothing is known of may hold at one time. */
const DOUBTFUL_PART = 0.75;
/** What these and slow hosts may hold together. */
const SLOW_PART = 0.875;
/** What each of the two doubtful kinds may hold however much the other has. */
const OWN_PART = 0.125;

/**
 * A limited number of slots for checks, and the line of those who wait for one, in order of due time. A host that never
 * answers holds its slot until the deadline, thousands of times longer than one that does; where many are like that, they
 * would hold all slots. So those that failed slowly last time share a part of them, with those that nothing is known of, which after
 * a start may be the same ones; these go first, for it is the way to be known. Hosts that are well but slow have a larger part, and
 * the rest is for quick ones alone: nobody quick waits for a slow one.
 */
export class Slots<T extends Waiting> {
  readonly #limit: number;
  readonly #doubtfulLimit: number;
  readonly #slowLimit: number;
  readonly #ownLimit: number;
  readonly #lines: Readonly<Record<Standing, Heap<Place<T>>>> = {
    quick: new Heap(({ since }) => since),
    slow: new Heap(({ since }) => since),
    suspect: new Heap(({ since }) => since),
    unknown: new Heap(({ since }) => since),
  };
  readonly #held: Record<Standing, number> = { quick: 0, slow: 0, suspect: 0, unknown: 0 };

  constructor(limit: number) {
    this.#limit = limit;
    this.#slowLimit = Math.max(1, Math.floor(limit * SLOW_PART));
    // So that suspects alone, which many are in the long run, never hold all that others share with them.
    this.#doubtfulLimit = Math.max(1, Math.min(this.#slowLimit - 1, Math.floor(limit * DOUBTFUL_PART)));
    this.#ownLimit = Math.ceil(limit * OWN_PART);
  }

  /** How many slots are held. */
  get held(): number {
    const { quick, slow, suspect, unknown } = this.#held;
    return quick + slow + suspect + unknown;
  }

  /** Joins the line, at the place of a due time (milliseconds since 1970). */
  join(who: T, since: number): void {
    who.isWaiting = true;
    this.#lines[who.standing].add({ who, since });
  }

  /** Gives a slot to whoever has waited longest and may have one; undefined where there is nobody, or no slot. */
  take(): Slot<T> | undefined {
    const standing = this.#nextStanding();
    const place = standing && this.#lines[standing].take();
    if (standing === undefined || place === undefined) return undefined;
    place.who.isWaiting = false;
    this.#held[standing]++;
    return { who: place.who, standing };
  }

  /** Gives a slot back. */
  free({ standing }: Slot<T>): void {
    this.#held[standing]--;
  }

  #nextStanding(): Standing | undefined {
    let [next, earliest]: [Standing | undefined, number] = [undefined, Infinity];
    for (const standing of this.#allowed()) {
      const since = foremost(this.#lines[standing])?.since ?? Infinity;
      if (since < earliest) [next, earliest] = [standing, since];
    }
    return next;
  }

  /** Who may have the next slot. */
  *#allowed(): Generator<Standing, void> {
    const { slow, suspect, unknown } = this.#held;
    if (this.held >= this.#limit) return;
    yield "quick";
    if (slow + suspect + unknown >= this.#slowLimit) return;
    yield "slow";
    const isCrowded = suspect + unknown >= this.#doubtfulLimit;
    if (!isCrowded || unknown < this.#ownLimit) yield "unknown";
    const mustYield = suspect >= this.#ownLimit && foremost(this.#lines.unknown) !== undefined;
    if (!isCrowded && !mustYield) yield "suspect";
  }
}

/** A slot that is held. */
export interface Slot<T> {
  readonly who: T;
  /** Whose part of the slots it is of. */
  readonly standing: Standing;
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
