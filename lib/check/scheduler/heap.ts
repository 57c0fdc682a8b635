/**
 * A binary heap. It gives back the value with the smallest key first. Each change costs O(log n).
 */
export class Heap<T> {
  readonly #values: T[] = [];
  readonly #keyOf: (value: T) => number;
  readonly #notePlace: (value: T, place: number) => void;

  /** `notePlace` is told where a value stands now, for `move` and `remove`; -1: no longer here. */
  constructor(keyOf: (value: T) => number, notePlace: (value: T, place: number) => void = () => {}) {
    this.#keyOf = keyOf;
    this.#notePlace = notePlace;
  }

  /** The value with the smallest key, which stays in the heap. */
  peek(): T | undefined {
    return this.#values[0];
  }

  add(value: T): void {
    const place = this.#values.push(value) - 1;
    this.#notePlace(value, place);
    this.#rise(place);
  }

  /** Takes out the value with the smallest key. */
  take(): T | undefined {
    const smallest = this.#values[0];
    if (smallest !== undefined) this.remove(0);
    return smallest;
  }

  /** The key of the value at this place is another one now. */
  move(place: number): void {
    this.#rise(place);
    this.#sink(place);
  }

  /** Takes out the value at this place. */
  remove(place: number): void {
    const last = this.#values.length - 1;
    if (place !== last) this.#swap(place, last);
    this.#notePlace(this.#values.pop() as T, -1);
    if (place !== last) this.move(place);
  }

  #rise(place: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#key(parent) <= this.#key(place)) return;
      this.#swap(place, parent);
      place = parent;
    }
  }

  #sink(place: number): void {
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
    const [one, other] = [this.#values[a] as T, this.#values[b] as T];
    this.#values[a] = other;
    this.#values[b] = one;
    this.#notePlace(other, a);
    this.#notePlace(one, b);
  }
}
