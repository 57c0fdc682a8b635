/** Statements in a row that must pass before a larger one is tried: the fewest and the most. */
const FEWEST_PASSES = 8;
const MOST_PASSES = 1024;
/**
 * Seconds. If a statement was ended sooner, somebody cancelled it: its time says nothing of other
 * statements.
 */
const SHORTEST_DEADLINE = 1;

/**
 * How many messages a statement may hold. It is halved when a statement takes too long, and doubled
 * again after a number of statements that passed. If the larger one then fails, twice as many must
 * pass the next time.
 */
export class StatementSize {
  readonly #most: number;
  #now: number;
  #passes = 0;
  #passesNeeded = FEWEST_PASSES;
  /** True while it is not known yet whether the size that was just doubled passes. */
  #isTrial = false;
  /** Seconds that the last one took that was ended. */
  #limit = Infinity;

  /** `most` is the limit of the settings. */
  constructor(most: number) {
    this.#most = most;
    this.#now = most;
  }

  get now(): number {
    return this.#now;
  }

  /** A statement with so many messages was ended after so many seconds. */
  ended(messages: number, seconds: number): void {
    if (this.#isTrial) this.#passesNeeded = Math.min(2 * this.#passesNeeded, MOST_PASSES);
    this.#now = Math.max(1, Math.floor(Math.min(this.#now, messages) / 2));
    this.#passes = 0;
    this.#isTrial = false;
    this.#limit = seconds;
  }

  /**
   * A statement with so many messages passed in so many seconds. True if statements are as large as
   * they may be again.
   */
  passed(messages: number, seconds: number): boolean {
    if (this.#now === this.#most && !this.#isTrial) return false;
    // A statement that is far from full says little of full ones.
    if (2 * messages <= this.#now) return false;
    if (++this.#passes < this.#passesNeeded) return false;
    this.#passes = 0;
    this.#isTrial = false;
    if (this.#now === this.#most) this.#passesNeeded = FEWEST_PASSES;
    else if (!this.#isTooSlow(seconds)) return this.#grow();
    return false;
  }

  #grow(): boolean {
    this.#now = Math.min(2 * this.#now, this.#most);
    this.#isTrial = true;
    return this.#now === this.#most;
  }

  /** True if a statement of twice the size would be ended as the last one was. */
  #isTooSlow(seconds: number): boolean {
    return this.#limit >= SHORTEST_DEADLINE && 2 * seconds >= this.#limit;
  }
}
