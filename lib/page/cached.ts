/** How long a value is used, in milliseconds. */
export interface Lifetime {
  /** So long it is given as it is. */
  readonly fresh: number;
  /** So long it is still given, while the next one is made. Later whoever asks waits. */
  readonly usable: number;
}

interface CachedValue<T> {
  value: T | null;
  /** When the value was asked for, by `performance.now()`. */
  at: number;
  making: Promise<T> | null;
  /** The last try, where it failed. */
  failure: { readonly error: unknown; readonly at: number } | null;
}

/**
 * Values by their keys, made when they are asked for. Of a key one is made at a time, however many
 * ask for it. A failure counts for as long as a fresh value: a database that is slow already is not
 * asked again by everybody.
 */
export class Cached<K, T> {
  readonly #make: (key: K) => Promise<T>;
  readonly #lifetime: Lifetime;
  readonly #most: number;
  readonly #entries = new Map<K, CachedValue<T>>();

  /** `most`: values that are kept. Those that were asked for longest ago go first. */
  constructor(make: (key: K) => Promise<T>, lifetime: Lifetime, most: number) {
    this.#make = make;
    this.#lifetime = lifetime;
    this.#most = most;
  }

  /** The value of a key. Rejects where it cannot be made, and the one before is too old. */
  async get(key: K): Promise<T> {
    const entry = this.#entries.get(key) ?? { value: null, at: -Infinity, making: null, failure: null };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > this.#most) this.#entries.delete(this.#entries.keys().next().value as K);
    const age = performance.now() - entry.at;
    if (entry.value !== null && age <= this.#lifetime.fresh) return entry.value;
    const isUsable = entry.value !== null && age <= this.#lifetime.usable;
    if (entry.failure !== null && performance.now() - entry.failure.at <= this.#lifetime.fresh) {
      if (isUsable) return entry.value as T;
      throw entry.failure.error;
    }
    const making = entry.making ??= this.#renew(key, entry);
    if (!isUsable) return await making;
    // Whoever asks once the value is too old hears of a failure.
    making.catch(() => {});
    return entry.value as T;
  }

  async #renew(key: K, entry: CachedValue<T>): Promise<T> {
    const at = performance.now();
    try {
      entry.value = await this.#make(key);
      entry.at = at;
      entry.failure = null;
      return entry.value;
    } catch (error) {
      entry.failure = { error, at: performance.now() };
      throw error;
    } finally {
      entry.making = null;
    }
  }
}
