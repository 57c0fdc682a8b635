import type { Place } from "./rules.ts";

/** Numbers of each place: its newest due time, the next one, its certificate's end, when that is near. */
const NUMBERS = 4;
/** Stands for the newest due time of a place that is not steady: no check is newer. */
const NOT_STEADY = Infinity;

/**
 * What is known of places that find their address up, while no incident lasts: in numbers, by
 * `PlaceKeys`. Nearly every check is of such a place, and changes two of its numbers. So no object
 * is touched for it.
 */
export class SteadyPlaces {
  #numbers = new Float64Array(0);

  /** True for a check that is up and says nothing new. It is taken in. */
  pass(place: number, due: number, nextAt: number, tlsExpiresAt: number): boolean {
    const numbers = this.#numbers;
    const at = NUMBERS * place;
    if (at >= numbers.length || !(due > (numbers[at] as number))) return false;
    // A certificate that expires later than the known one, which has days enough, has enough too.
    const isSame = Number.isNaN(tlsExpiresAt) ||
      tlsExpiresAt >= (numbers[at + 2] as number) && due <= (numbers[at + 3] as number);
    if (!isSame) return false;
    numbers[at] = due;
    numbers[at + 1] = nextAt;
    return true;
  }

  /** True if the place is steady. */
  has(place: number): boolean {
    const at = NUMBERS * place;
    return at < this.#numbers.length && this.#numbers[at] !== NOT_STEADY;
  }

  /** Notes a steady place; null: it is not steady any more. */
  set(place: number | undefined, known: Place | null): void {
    if (place === undefined) return;
    const at = NUMBERS * place;
    if (known === null) {
      if (this.has(place)) this.#numbers[at] = NOT_STEADY;
      return;
    }
    if (at >= this.#numbers.length) this.#grow(at);
    const { newest, nextAt, certificate } = known;
    this.#numbers.set([newest, nextAt, certificate?.expiresAt ?? NaN, certificate?.shortFrom ?? NaN], at);
  }

  /** The place as it is after the checks that have passed. */
  current(place: number | undefined, known: Place): Place {
    if (place === undefined || !this.has(place)) return known;
    const at = NUMBERS * place;
    return { ...known, newest: this.#numbers[at] as number, nextAt: this.#numbers[at + 1] as number };
  }

  #grow(at: number): void {
    const numbers = new Float64Array(Math.max(2 * this.#numbers.length, at + NUMBERS)).fill(NOT_STEADY);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
  }
}
