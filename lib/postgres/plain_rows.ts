import { type Metric, METRIC_FIELDS } from "../metric.ts";
import type { SliceChecks } from "./incidents/observation.ts";
import { PlaceKeys } from "./incidents/place_keys.ts";
import { UNTOLD, type Verdict } from "./incidents/rules.ts";
import { compareText, findValues, isNull, isSet, PLACES, timeAt } from "./plain_document.ts";

/** The most rows that are collected, and about the most bytes of their documents. */
const MOST_ROWS = 1000;
const MOST_BYTES = 1024 * 1024;

const COMMA = 0x2c;
/** Characters of a day at the beginning of a time. */
const DAY = 10;

/** The place of a field's value among those of its document. */
const placeOf = (field: keyof Metric) => 2 * METRIC_FIELDS.indexOf(field);
const ADDRESS = placeOf("address");
const SCHEDULED_AT = placeOf("scheduled_at");
const ERROR = placeOf("error");
const TLS_EXPIRES_AT = placeOf("tls_expires_at");
const LOCATION = placeOf("location");
const UP = placeOf("up");
const NEXT_AT = placeOf("next_at");

/** Errors of metrics that tell of no check. */
const NO_VERDICTS = ["missed", "removed"] as const;

/** The plain documents that are taken; others need a closer look. */
export interface Takes {
  /** The times of `scheduled_at`, as `toISOString` writes them; null: any. */
  readonly from: string | null;
  /** Included. */
  readonly to: string | null;
  /** True if a check may have an error. */
  readonly errors: boolean;
}

/**
 * Collects plain documents (`findValues`), and writes the columns of their rows. The memory that it
 * takes for that is used over and over.
 */
export class PlainRows {
  readonly #documents: Uint8Array[] = [];
  #bytes = 0;
  readonly #places = new Int32Array(MOST_ROWS * PLACES);
  #text = Buffer.alloc(0);
  /** Addresses and locations of the checks that are added. */
  readonly keys = new PlaceKeys();

  get count(): number {
    return this.#documents.length;
  }

  /** True if there is no room for another one. */
  get isFull(): boolean {
    return this.count === MOST_ROWS || this.#bytes >= MOST_BYTES;
  }

  /** Adds a document. False if it is not plain, or not to be taken so. */
  add(document: Uint8Array, { from, to, errors }: Takes): boolean {
    const at = this.count * PLACES;
    if (!findValues(document, this.#places, at)) return false;
    const scheduled = this.#places[at + SCHEDULED_AT] as number;
    if (from !== null && compareText(document, scheduled, from) < 0) return false;
    if (to !== null && compareText(document, scheduled, to) > 0) return false;
    if (!errors && !isNull(document, this.#places[at + ERROR] as number)) return false;
    this.#documents.push(document);
    this.#bytes += document.length;
    return true;
  }

  /** The column of a field, without the braces around it. `none` stands for null. */
  column(field: keyof Metric, none = "null"): string {
    const number = placeOf(field);
    const text = this.#room();
    let end = 0;
    for (let row = 0; row < this.count; row++) {
      const document = this.#documents[row] as Uint8Array;
      const place = row * PLACES + number;
      const start = this.#places[place] as number;
      if (row > 0) text[end++] = COMMA;
      if (none !== "null" && isNull(document, start)) {
        end += text.write(none, end, "latin1");
        continue;
      }
      const stop = this.#places[place + 1] as number;
      for (let i = start; i < stop; i++) text[end++] = document[i] as number;
    }
    return text.toString("utf8", 0, end);
  }

  /** Adds the days (UTC) that rows are of. */
  addDays(days: Set<string>): void {
    let last = "";
    for (let row = 0; row < this.count; row++) {
      const document = this.#documents[row] as Uint8Array;
      const start = this.#places[row * PLACES + SCHEDULED_AT] as number;
      // Nearly always the day of the row before it.
      if (last !== "" && compareText(document, start, last) === 0) continue;
      last = String.fromCharCode(...document.subarray(start + 1, start + 1 + DAY));
      days.add(last);
    }
  }

  /** Adds what incidents need of the rows. The numbers of places are those of `keys`. */
  addChecks(checks: SliceChecks): void {
    for (let row = 0; row < this.count; row++) {
      const document = this.#documents[row] as Uint8Array;
      const from = row * PLACES;
      const place = this.keys.numberOf(document, this.#places, from + ADDRESS, from + LOCATION);
      const verdict = isSet(document, this.#places[from + UP] as number)
        ? "up"
        : verdictOf(document, this.#places[from + ERROR] as number);
      const due = timeAt(document, this.#places[from + SCHEDULED_AT] as number);
      const nextAt = timeOrNone(document, this.#places[from + NEXT_AT] as number);
      checks.add(place, verdict, due, nextAt, timeOrNone(document, this.#places[from + TLS_EXPIRES_AT] as number));
    }
  }

  clear(): void {
    this.#documents.length = 0;
    this.#bytes = 0;
  }

  /** Memory for the longest column: no value is longer than its document, but for what stands for null. */
  #room(): Buffer {
    const needed = this.#bytes + this.count;
    if (this.#text.length < needed) this.#text = Buffer.allocUnsafeSlow(needed);
    return this.#text;
  }
}

/** The verdict on a row that is not up, by its error. */
function verdictOf(document: Uint8Array, error: number): Verdict {
  return NO_VERDICTS.find((text) => compareText(document, error, `${text}"`) === 0) ?? "down";
}

function timeOrNone(document: Uint8Array, start: number): number {
  return isNull(document, start) ? UNTOLD : timeAt(document, start);
}
