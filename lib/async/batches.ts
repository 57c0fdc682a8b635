/** When a batch is full: at a number of values, or at an age of its oldest value in seconds. */
export interface BatchLimits {
  readonly size: number;
  readonly interval: number;
}

/** Why a batch was given out. */
export type BatchCause = "size" | "age" | "end";

/** How to measure values that are not all alike. */
export interface Measure<T> {
  /** How many a value counts for, against `size`. */
  count(value: T): number;
  weigh(value: T): number;
  /** While so much weight waits, no more is read. It bounds the memory and the largest batch. */
  readonly most: number;
}

/**
 * Groups the values of `source`. A batch is given out at `size` values, at the `interval` of its
 * oldest value, or at the end of the source. A source that fails loses nothing: the waiting values
 * are given out, then the failure is thrown.
 *
 * While the caller works on a batch, the next one is read: `size` values, or as `measure` allows.
 * So a caller who is behind gets larger batches. Leaving the loop early closes the source.
 * `onBatch` is called with the cause before each batch is given out.
 *
 * A caller may also come back before the work is done. While `work()` is unsettled then, only the
 * weight makes a batch full: whoever is not behind gets no smaller batches.
 */
export async function* batches<T>(
  source: AsyncIterable<T>,
  limits: BatchLimits,
  measure: Measure<T> = { count: () => 1, weigh: () => 1, most: limits.size },
  onBatch: (cause: BatchCause) => void = () => {},
  work: () => Promise<unknown> | null = () => null,
): AsyncGenerator<T[], void> {
  const buffer = new BatchBuffer(source[Symbol.asyncIterator](), limits, measure);
  try {
    while (await buffer.isDue(work())) {
      onBatch(buffer.cause);
      yield buffer.take();
    }
  } finally {
    buffer.close();
  }
}

/** Fills itself with the values of a source until it is full. Goes on once it has been emptied. */
class BatchBuffer<T> {
  readonly #source: AsyncIterator<T>;
  readonly #limits: BatchLimits;
  readonly #measure: Measure<T>;
  #values: T[] = [];
  #count = 0;
  #weight = 0;
  /** Runs from the arrival of the oldest value, whatever the caller does meanwhile. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOld = false;
  #ended = false;
  #failure: { readonly error: unknown } | null = null;
  #onChange = () => {};
  #onTake = () => {};

  constructor(source: AsyncIterator<T>, limits: BatchLimits, measure: Measure<T>) {
    this.#source = source;
    this.#limits = limits;
    this.#measure = measure;
    void this.#fill();
  }

  /**
   * Waits until there is a batch to take; false where none will come. Throws the failure of the
   * source, once everything is taken. Before `work` is settled, only a full batch is due.
   */
  async isDue(work: Promise<unknown> | null): Promise<boolean> {
    let isBusy = work !== null;
    const onSettled = () => {
      isBusy = false;
      this.#onChange();
    };
    work?.then(onSettled, onSettled);
    const isReady = () => !isBusy && (this.#isOld || this.#count >= this.#limits.size);
    while (!this.#ended && !this.#isFull && !isReady()) {
      await new Promise<void>((resolve) => this.#onChange = resolve);
    }
    if (this.#values.length === 0 && this.#failure !== null) throw this.#failure.error;
    return this.#values.length > 0;
  }

  /** Why there is a batch to take. */
  get cause(): BatchCause {
    if (this.#isFull || this.#count >= this.#limits.size) return "size";
    return this.#isOld ? "age" : "end";
  }

  take(): T[] {
    const values = this.#values;
    this.#values = [];
    this.#count = 0;
    this.#weight = 0;
    this.#isOld = false;
    clearTimeout(this.#timer);
    this.#onTake();
    return values;
  }

  close(): void {
    // Deliberately not awaited: a source that is stuck in a read would hold up the caller.
    if (!this.#ended) this.#source.return?.().catch(() => {});
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#onTake();
  }

  get #isFull(): boolean {
    return this.#weight >= this.#measure.most;
  }

  async #fill(): Promise<void> {
    try {
      while (!this.#ended) {
        const { done, value } = await this.#source.next();
        if (done === true || this.#ended) break;
        this.#add(value);
        while (this.#isFull && !this.#ended) await new Promise<void>((resolve) => this.#onTake = resolve);
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#ended = true;
    this.#onChange();
  }

  #add(value: T): void {
    if (this.#values.length === 0) this.#timer = setTimeout(() => this.#age(), this.#limits.interval * 1000);
    this.#values.push(value);
    this.#count += this.#measure.count(value);
    this.#weight += this.#measure.weigh(value);
    this.#onChange();
  }

  #age(): void {
    this.#isOld = true;
    this.#onChange();
  }
}
