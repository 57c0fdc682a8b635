/** The partitions that the group gave to a member; `changed` aborts when that is no longer so. */
export interface HeldPartitions {
  readonly partitions: readonly number[];
  readonly changed: AbortSignal;
}

/**
 * What a member of a group holds, from joining to leaving. The client's callbacks write it, the
 * readings wait for it.
 */
export class Membership {
  #share: HeldPartitions | undefined;
  #change = new AbortController();
  #failure: unknown;
  #wake: () => void = () => {};

  /** True where the membership is over, and a new one is needed. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** The group gave these partitions, and no others. */
  gain(partitions: readonly number[]): void {
    this.lose();
    this.#change = new AbortController();
    this.#share = { partitions: partitions.toSorted((a, b) => a - b), changed: this.#change.signal };
    this.#wake();
  }

  /** The group is sharing out anew: nothing is this member's now. */
  lose(): void {
    this.#share = undefined;
    this.#change.abort();
  }

  /** The client cannot go on. */
  fail(error: unknown): void {
    this.#failure ??= error ?? new Error("The membership of the group ended");
    this.lose();
    this.#wake();
  }

  /** The share, as soon as there is one. Rejects with what ended the membership, or when `signal` aborts. */
  async share(signal: AbortSignal): Promise<HeldPartitions> {
    while (this.#share === undefined) {
      if (this.failed) throw this.#failure;
      signal.throwIfAborted();
      await this.#news(signal);
    }
    return this.#share;
  }

  async #news(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#wake = wake;
    signal.addEventListener("abort", wake, { once: true });
    await promise;
    signal.removeEventListener("abort", wake);
  }
}
