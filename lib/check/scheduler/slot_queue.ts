import { Heap } from "./heap.ts";

/**
 * What the last check of a host has shown. `quick`: it took little time. `slow`: it took long, and
 * the host was well. `suspect`: it took long and failed. `unknown`: there was none yet.
 */
export type Standing = "quick" | "slow" | "suspect" | "unknown";

/** Milliseconds. A longer check of a quick or unknown host is late. */
const LATE_AFTER = 1000;
/** Hosts whose checks may be late; the first kind gives way first. */
const TRUSTED = ["unknown", "quick"] as const;

/** A host that may wait for a slot. */
export interface SlotWaiter {
  /** Does not change while the host waits. */
  readonly standing: Standing;
  /** True while it stands in the queue; set to false to leave it. */
  isWaiting: boolean;
}

/** The part of the slots that suspects and unknown hosts may hold together. */
const DOUBTFUL_PART = 0.75;
/** The part that suspects, unknown hosts and slow hosts may hold together. */
const SLOW_PART = 0.875;
/**
 * Up to this part, unknown hosts get slots even where suspects fill the part that they share. Up to
 * this part, suspects get slots even where quick or unknown hosts wait.
 */
const OWN_PART = 0.125;

/**
 * A limited number of slots for checks, and the hosts that wait for one, in order of due time.
 *
 * A host that never answers holds its slot until the deadline, thousands of times longer than
 * another. Many such hosts would hold all slots. So suspects share a part of the slots with unknown
 * hosts, which after a start may be the same ones. Unknown hosts go first there, so that they
 * become known. Slow hosts have a larger part. The rest is for quick hosts alone: no quick host
 * waits for a slow one.
 *
 * Nobody knows beforehand that a host will not answer. So a late check gives way where a host waits
 * in vain that is no suspect. It begins again among the suspects.
 */
export class SlotQueue<T extends SlotWaiter> {
  readonly #limit: number;
  readonly #doubtfulLimit: number;
  readonly #slowLimit: number;
  readonly #ownLimit: number;
  readonly #queues: Readonly<Record<Standing, Heap<PlaceInQueue<T>>>> = {
    quick: new Heap(({ since }) => since),
    slow: new Heap(({ since }) => since),
    suspect: new Heap(({ since }) => since),
    unknown: new Heap(({ since }) => since),
  };
  /** In the order in which they were given. */
  readonly #held: Readonly<Record<Standing, Set<Slot<T>>>> = {
    quick: new Set(),
    slow: new Set(),
    suspect: new Set(),
    unknown: new Set(),
  };

  constructor(limit: number) {
    this.#limit = limit;
    this.#slowLimit = Math.max(1, Math.floor(limit * SLOW_PART));
    // Suspects may be many in the long run. So they alone never hold all slots that others share
    // with them.
    this.#doubtfulLimit = Math.max(1, Math.min(this.#slowLimit - 1, Math.floor(limit * DOUBTFUL_PART)));
    this.#ownLimit = Math.ceil(limit * OWN_PART);
  }

  /** How many slots are held. */
  get held(): number {
    const { quick, slow, suspect, unknown } = this.#held;
    return quick.size + slow.size + suspect.size + unknown.size;
  }

  /** Joins the queue at the place of a due time (milliseconds since 1970). */
  join(who: T, since: number): void {
    who.isWaiting = true;
    this.#queues[who.standing].add({ who, since });
  }

  /**
   * Gives a slot to the host that has waited longest and may have one. Undefined where there is no
   * host or no slot. `now` is in milliseconds of a clock that never jumps.
   */
  take(now: number): Slot<T> | undefined {
    const standing = this.#nextOf(this.#allowed());
    const place = standing && this.#queues[standing].take();
    if (standing === undefined || place === undefined) return undefined;
    place.who.isWaiting = false;
    const slot = { who: place.who, standing, since: now };
    this.#held[standing].add(slot);
    return slot;
  }

  /** Gives a slot back. */
  free(slot: Slot<T>): void {
    this.#held[slot.standing].delete(slot);
  }

  /**
   * Where `take` has nothing: frees the slot of a late check for a host that is no suspect.
   * Undefined where there is no such pair.
   */
  giveWay(now: number): Slot<T> | undefined {
    const slot = this.#wanted().find(({ since }) => now - since >= LATE_AFTER);
    if (slot !== undefined) this.free(slot);
    return slot;
  }

  /**
   * When a check will give way, on the same clock, if nothing else happens; Infinity where none
   * will.
   */
  get nextToGiveWay(): number {
    return Math.min(...this.#wanted().map(({ since }) => since + LATE_AFTER));
  }

  /**
   * The oldest slot of each trusted kind, where giving it back would help a waiting host that is no
   * suspect.
   */
  #wanted(): Slot<T>[] {
    return TRUSTED.flatMap((standing) => {
      const [slot] = this.#held[standing];
      return slot !== undefined && this.#nextOf(this.#allowed(standing), "suspect") !== undefined ? [slot] : [];
    });
  }

  /**
   * Of several kinds, the one whose first host has waited longest. Undefined where none of them
   * waits.
   */
  #nextOf(standings: Iterable<Standing>, except?: Standing): Standing | undefined {
    let [next, earliest]: [Standing | undefined, number] = [undefined, Infinity];
    for (const standing of standings) {
      const since = foremost(this.#queues[standing])?.since ?? Infinity;
      if (standing !== except && since < earliest) [next, earliest] = [standing, since];
    }
    return next;
  }

  /** How many slots a kind holds; one fewer where it is the kind `returned`. */
  #count(standing: Standing, returned?: Standing): number {
    return this.#held[standing].size - (standing === returned ? 1 : 0);
  }

  /**
   * The kinds that may have the next slot. With `returned`: those that could have it once a slot of
   * that kind is given back.
   */
  *#allowed(returned?: Standing): Generator<Standing, void> {
    const of = (standing: Standing) => this.#count(standing, returned);
    const [slow, suspect, unknown] = [of("slow"), of("suspect"), of("unknown")];
    if (slow + suspect + unknown + of("quick") >= this.#limit) return;
    yield "quick";
    if (slow + suspect + unknown >= this.#slowLimit) return;
    yield "slow";
    const isCrowded = suspect + unknown >= this.#doubtfulLimit;
    if (!isCrowded || unknown < this.#ownLimit) yield "unknown";
    const mustYield = suspect >= this.#ownLimit && TRUSTED.some((each) => foremost(this.#queues[each]) !== undefined);
    if (!isCrowded && !mustYield) yield "suspect";
  }
}

/** A slot that is held. */
export interface Slot<T> {
  readonly who: T;
  /** The kind whose part of the slots it is of. */
  readonly standing: Standing;
  /** When it was given, on the clock of `take`. */
  readonly since: number;
}

interface PlaceInQueue<T> {
  readonly who: T;
  readonly since: number;
}

/** The first place in the queue. Places of hosts that have left are cleared away. */
function foremost<T extends SlotWaiter>(queue: Heap<PlaceInQueue<T>>): PlaceInQueue<T> | undefined {
  while (queue.peek()?.who.isWaiting === false) queue.take();
  return queue.peek();
}
