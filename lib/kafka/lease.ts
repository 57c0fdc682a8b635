/**
 * A moment on both clocks, in milliseconds. The wall clock may be set. The steady one stands still
 * while the machine sleeps.
 */
export interface ClockReading {
  readonly wall: number;
  readonly steady: number;
}

/** The present moment. */
export function readClocks(): ClockReading {
  return { wall: Date.now(), steady: performance.now() };
}

/**
 * Milliseconds between two looks at a lease after which the program must have been frozen: it looks
 * several times a second.
 */
const FREEZE = 2000;

/**
 * How long a member of a group may act on what it holds. The group gives its partitions to others
 * when it has not heard from the member for `limit` milliseconds. So the member counts from when it
 * sent what the group has answered, on the clock that has gone further.
 */
export class Lease {
  readonly #limit: number;
  #sentAt: ClockReading | null = null;
  #lookedAt: ClockReading | null = null;
  #isCutOff = false;
  /** When a broker has answered again since then. */
  #reachedAt: ClockReading | null = null;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The group has answered what was sent then: the member was a member at that time. */
  renew(sentAt: ClockReading): void {
    this.#sentAt = sentAt;
    this.#isCutOff = false;
  }

  /** The group says that the member is none. */
  end(): void {
    this.#sentAt = null;
    this.#isCutOff = false;
  }

  /** True where no broker answered, and the group has said nothing since that makes it a member. */
  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  /** No broker answers. The member goes on with what it has: nobody else may be able to. */
  cutOff(): void {
    this.#isCutOff = true;
    this.#reachedAt = null;
  }

  /**
   * Some broker answers. What the group says counts again, as soon as it says something: brokers that
   * start have to read first who its members are. If it says nothing for `limit` milliseconds, it
   * may speak with others only.
   */
  reach(now: ClockReading): void {
    if (this.#isCutOff) this.#reachedAt ??= now;
  }

  /**
   * True where the member may act. After a freeze it may not, until the group or the lack of any
   * broker was noticed anew: others may have taken over.
   */
  allows(now: ClockReading): boolean {
    if (this.#lookedAt !== null && elapsed(this.#lookedAt, now) > FREEZE) this.end();
    this.#lookedAt = now;
    const isWithin = (since: ClockReading | null) => since !== null && elapsed(since, now) < this.#limit;
    return isWithin(this.#sentAt) || (this.#isCutOff && (this.#reachedAt === null || isWithin(this.#reachedAt)));
  }

  /** Seconds since the group was last heard; null where it does not count the program as a member. */
  silence(now: ClockReading): number | null {
    return this.#sentAt === null ? null : elapsed(this.#sentAt, now) / 1000;
  }
}

function elapsed(from: ClockReading, to: ClockReading): number {
  return Math.max(to.wall - from.wall, to.steady - from.steady);
}
