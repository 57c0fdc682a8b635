import { type Metric, verdictOn } from "../../metric.ts";
import type { EntryOf } from "../entry.ts";
import { detailOf } from "../host_state.ts";
import type { PlaceKeys } from "./place_keys.ts";
import { type FailedCheck, type Observation, UNTOLD, type Verdict } from "./rules.ts";
import type { SteadyPlaces } from "./steady_places.ts";

/** Numbers of each check: when it was due, when the next one is, when the certificate expires. */
const NUMBERS = 3;
/** The place of a check that has no number. */
const NO_PLACE = -1;
const VERDICTS: readonly Verdict[] = ["up", "down", "missed", "removed"];
const UP = VERDICTS.indexOf("up");

/**
 * What incidents need of the checks of a slice, in their order. Most of them change nothing: so
 * no object is made for a check, and its message is read only if an outage begins.
 */
export class SliceChecks {
  readonly #metrics: readonly EntryOf<Metric>[];
  readonly #keys: PlaceKeys;
  /** By `keys`, or `NO_PLACE`. */
  readonly #places: Int32Array;
  /** By `VERDICTS`. */
  readonly #verdicts: Uint8Array;
  #count = 0;
  readonly #numbers: Float64Array;

  /** `metrics` are those of the slice, `most` at most. They may be added later. */
  constructor(metrics: readonly EntryOf<Metric>[], most: number, keys: PlaceKeys) {
    this.#metrics = metrics;
    this.#keys = keys;
    this.#places = new Int32Array(most);
    this.#verdicts = new Uint8Array(most);
    this.#numbers = new Float64Array(NUMBERS * most);
  }

  get count(): number {
    return this.#count;
  }

  add(place: number, verdict: Verdict, due: number, nextAt: number, tlsExpiresAt: number): void {
    const at = this.#count++;
    this.#places[at] = place;
    this.#numbers[NUMBERS * at] = due;
    this.#numbers[NUMBERS * at + 1] = nextAt;
    this.#numbers[NUMBERS * at + 2] = tlsExpiresAt;
    this.#verdicts[at] = VERDICTS.indexOf(verdict);
  }

  /** Adds a metric that was read. `due` is the time by which its row is found. */
  addRead(metric: Metric, due: string): void {
    const time = (text: string | null) => text === null ? UNTOLD : Date.parse(text);
    this.add(NO_PLACE, verdictOf(metric), time(due), time(metric.next_at), time(metric.tls_expires_at));
  }

  /** The number of its place; null: it has none. */
  place(at: number): number | null {
    const place = this.#places[at] as number;
    return place === NO_PLACE ? null : place;
  }

  address(at: number): string {
    const place = this.place(at);
    return place === null ? this.#entry(at).content.address : this.#keys.addresses[place] as string;
  }

  /** True if a check is like those before it. It is taken in. */
  passes(at: number, steady: SteadyPlaces): boolean {
    const place = this.#places[at] as number;
    if (place === NO_PLACE || this.#verdicts[at] !== UP) return false;
    const numbers = this.#numbers;
    const i = NUMBERS * at;
    return steady.pass(place, numbers[i] as number, numbers[i + 1] as number, numbers[i + 2] as number);
  }

  /** A check as the rules see it. */
  observation(at: number): Observation {
    const entry = this.#entry(at);
    const place = this.place(at);
    const number = (which: number) => this.#numbers[NUMBERS * at + which] as number;
    return {
      partition: entry.partition,
      offset: entry.offset,
      address: this.address(at),
      location: place === null ? entry.content.location : this.#keys.locations[place] as string | null,
      due: number(0),
      verdict: VERDICTS[this.#verdicts[at] as number] as Verdict,
      nextAt: number(1),
      tlsExpiresAt: number(2),
      failure: () => failureOf(entry.content),
    };
  }

  #entry(at: number): EntryOf<Metric> {
    return this.#metrics[at] as EntryOf<Metric>;
  }
}

/** The verdict on a metric, whether its producer has sent one or not. */
function verdictOf({ up, error, ...facts }: Metric): Verdict {
  if (up === true) return "up";
  if (error === "removed" || error === "missed") return error;
  return (up ?? verdictOn({ error, ...facts })) === true ? "up" : "down";
}

function failureOf(metric: Metric): FailedCheck {
  return { error: metric.error, errorDetail: detailOf(metric), statusCode: metric.status_code };
}
