/**
 * A binary heap. It gives back the value with the smallest key first. Adding and taking cost O(log
 * n).
 */
export class Heap<T> {
  readonly #values: T[] = [];
  readonly #keyOf: (value: T) => number;

  constructor(keyOf: (value: T) => number) {
    this.#keyOf = keyOf;
  }

  /** The value with the smallest key, which stays in the heap. */
  peek(): T | undefined {
    return this.#values[0];
  }

  add(value: T): void {
    let place = this.#values.push(value) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#key(parent) <= this.#key(place)) return;
      this.#swap(place, parent);
      place = parent;
    }
  }

  /** Takes out the value with the smallest key. */
  take(): T | undefined {
    const smallest = this.#values[0];
    const last = this.#values.pop();
    if (this.#values.length > 0) {
      this.#values[0] = last as T;
      this.#sink();
    }
    return smallest;
  }

  #sink(): void {
    let place = 0;
    while (true) {
      const left = 2 * place + 1;
      if (left >= this.#values.length) return;
      const right = left + 1;
      const child = right < this.#values.length && this.#key(right) < this.#key(left) ? right : left;
      if (this.#key(place) <= this.#key(child)) return;
      this.#swap(place, child);
      place = child;
    }
  }

  #key(place: number): number {
    return this.#keyOf(this.#values[place] as T);
  }

  #swap(a: number, b: number): void {
    [this.#values[a], this.#values[b]] = [this.#values[b] as T, this.#values[a] as T];
  }
}
