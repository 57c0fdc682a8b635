/** Statements in a row that must pass before a larger one is tried, and the most that are asked for. */
const FEWEST_PASSES = 8;
const MOST_PASSES = 1024;
/**
 * A statement that was ended sooner (seconds) was cancelled by somebody: its time says nothing of
 * how long another may take.
 */
const SHORTEST_DEADLINE = 1;

/**
 * How many messages a statement may hold. Halved when a statement takes longer than it may, and doubled again after a
 * number of statements that passed; where the larger one then fails, twice as many are waited for the next time.
 */
export class StatementSize {
  readonly #most: number;
  #now: number;
  #passes = 0;
  #passesNeeded = FEWEST_PASSES;
  /** True while it is not known yet whether the size that was just doubled passes. */
  #isTrial = false;
  /** How long the last one took that was ended, in seconds. */
  #limit = Infinity;

  /** `most` is what the settings allow. */
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
   * A statement with so many messages passed in so many seconds. True where statements are as large
   * as they may be again.
   */
  passed(messages: number, seconds: number): boolean {
    if (this.#now === this.#most && !this.#isTrial) return false;
    // One that is far from full says little of those that are.
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

  /** True where one of twice the size would be ended as the last one was. */
  #isTooSlow(seconds: number): boolean {
    return this.#limit >= SHORTEST_DEADLINE && 2 * seconds >= this.#limit;
  }
}
