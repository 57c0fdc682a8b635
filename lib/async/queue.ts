import { Bell } from "./bell.ts";

/**
 * Values that wait to be read, in order: pushed from anywhere, read by one `for await`. The queue
 * has a limit. Beyond it the oldest value gives way to the newest, and is counted.
 */
export class Queue<T> implements AsyncIterable<T> {
  readonly #limit: number;
  // Read from `#head`, so that taking a value costs the same however many wait; see `#take`.
  #values: (T | undefined)[] = [];
  #head = 0;
  #ended = false;
  #dropped = 0;
  readonly #news = new Bell();

  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  /** How many values wait. */
  get length(): number {
    return this.#values.length - this.#head;
  }

  /** How many values have given way to newer ones. */
  get dropped(): number {
    return this.#dropped;
  }

  push(value: T): void {
    if (this.#ended) throw new TypeError("Cannot push to a queue that has ended");
    this.#values.push(value);
    if (this.length > this.#limit) {
      this.#take();
      this.#dropped++;
    }
    this.#news.ring();
  }

  /** No more values will come: reading ends once the waiting values are read. */
  end(): void {
    this.#ended = true;
    this.#news.ring();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    while (true) {
      while (this.length > 0) yield this.#take();
      if (this.#ended) return;
      await this.#news.wait();
    }
  }

  #take(): T {
    const value = this.#values[this.#head] as T;
    // If the queue kept it until the cut below, a thousand answers of a broker would fill the
    // memory.
    this.#values[this.#head++] = undefined;
    // Cutting off the read part only now and then keeps a take cheap. Never cutting would keep
    // every value forever.
    if (this.#head > 1024 && this.#head * 2 > this.#values.length) {
      this.#values = this.#values.slice(this.#head);
      this.#head = 0;
    }
    return value;
  }
}
