import { isUtf8 } from "node:buffer";
import { isIP } from "node:net";
import { FIELD_KINDS, type FieldKind, isRequired, MAX_METRIC_BYTES, type Metric, METRIC_FIELDS } from "../metric.ts";

// A plain document is one as `encodeMetric` writes it of a check that was made: all fields in their
// order, nothing between them, and no escape. The text of each value is then its text in an array
// of PostgreSQL too. So it can be copied.

/** Numbers that `findValues` gives for a document: where each value begins, and where it ends. */
export const PLACES = 2 * METRIC_FIELDS.length;

/** Fields that are null in metrics without a check and in those of older producers only. */
const FILLED: readonly (keyof Metric)[] = ["scheduled_at", "checked_at", "up"];

interface PlainField {
  /** The bytes in front of its value. */
  readonly lead: Uint8Array;
  readonly mayBeNull: boolean;
  readonly endOf: EndOf;
}

/** The place behind a value that begins at `at`; below 0: it is not plain. */
type EndOf = (document: Uint8Array, at: number) => number;

const ascii = (text: string) => new TextEncoder().encode(text);

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const BRACE = 0x7d;
const DASH = 0x2d;
const ZERO = 0x30;
const N = 0x6e;
/** JSON has characters below this one as escapes only. */
const FIRST_PLAIN = 0x20;
/** Each byte of a character that is not ASCII is at least this. */
const NOT_ASCII = 0x80;
const [NULL, TRUE, FALSE] = [ascii("null"), ascii("true"), ascii("false")] as const;

const ENDS: Readonly<Record<FieldKind, EndOf>> = {
  text: endOfText,
  status: endOfStatus,
  seconds: endOfSeconds,
  flag: (document, at) => behind(document[at] === TRUE[0] ? TRUE : FALSE, document, at),
  instant: endOfInstant,
  uuid: endOfUuid,
  ip: endOfAddress,
  // An array of PostgreSQL has an object in quotes, with escapes.
  labels: () => -1,
};

const FIELDS: readonly PlainField[] = METRIC_FIELDS.map((field, i) => ({
  lead: ascii(`${i === 0 ? "{" : ","}"${field}":`),
  mayBeNull: field === "status_code" || !isRequired(field) && !FILLED.includes(field),
  endOf: ENDS[FIELD_KINDS[field]],
}));

/**
 * Finds the values of a plain document, and writes their places into `places` from number `from`
 * on. False for any other document, which `decodeMetric` then reads. So it refuses nothing, and
 * takes nothing that `decodeMetric` would refuse or change.
 */
export function findValues(document: Uint8Array, places: Int32Array, from: number): boolean {
  if (document.length > MAX_METRIC_BYTES) return false;
  let place = from;
  let end = 0;
  for (const { lead, mayBeNull, endOf } of FIELDS) {
    const start = behind(lead, document, end);
    if (start < 0) return false;
    end = mayBeNull && document[start] === N ? behind(NULL, document, start) : endOf(document, start);
    if (end < 0) return false;
    places[place++] = start;
    places[place++] = end;
  }
  return end === document.length - 1 && document[end] === BRACE;
}

/** True if the value at a place of `findValues` is null. */
export function isNull(document: Uint8Array, start: number): boolean {
  return document[start] === N;
}

/** True if the flag at a place of `findValues` is true. */
export function isSet(document: Uint8Array, start: number): boolean {
  return document[start] === TRUE[0];
}

/**
 * Compares the beginning of the text at a place of `findValues` with a text in ASCII. Below 0: it
 * comes before that.
 */
export function compareText(document: Uint8Array, start: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    const difference = (document[start + 1 + i] as number) - text.charCodeAt(i);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The place behind these bytes; below 0: the document has others there. */
function behind(bytes: Uint8Array, document: Uint8Array, at: number): number {
  for (let i = 0; i < bytes.length; i++) if (document[at + i] !== bytes[i]) return -1;
  return at + bytes.length;
}

function endOfText(document: Uint8Array, at: number): number {
  if (document[at] !== QUOTE) return -1;
  let isUnicode = false;
  for (let i = at + 1; i < document.length; i++) {
    const byte = document[i] as number;
    if (byte === QUOTE) return i + 1;
    if (byte === BACKSLASH || byte < FIRST_PLAIN) return -1;
    if (byte < NOT_ASCII || isUnicode) continue;
    if (!isUtf8(document)) return -1;
    isUnicode = true;
  }
  return -1;
}

/** The number that a digit stands for; any other byte is below 0 or above 9. */
const digit = (document: Uint8Array, at: number) => (at < document.length ? document[at] as number : 0) - ZERO;
const isDigit = (document: Uint8Array, at: number) => digit(document, at) >= 0 && digit(document, at) <= 9;

/** Behind the digits from `at` on, of which there must be one to `most`. */
function endOfDigits(document: Uint8Array, at: number, most: number): number {
  let end = at;
  while (isDigit(document, end)) end++;
  return end === at || end > at + most ? -1 : end;
}

/** The same for a whole number: JSON has no zeros in front of others. */
function endOfWhole(document: Uint8Array, at: number, most: number): number {
  return document[at] === ZERO && isDigit(document, at + 1) ? -1 : endOfDigits(document, at, most);
}

function endOfStatus(document: Uint8Array, at: number): number {
  return endOfWhole(document, at, 3);
}

/**
 * The most digits before and behind the point that JavaScript writes without an exponent. So no
 * number is beyond the range of the type real either.
 */
const MOST_DIGITS = 24;

function endOfSeconds(document: Uint8Array, at: number): number {
  const end = endOfWhole(document, at, MOST_DIGITS);
  return end < 0 || document[end] !== DOT ? end : endOfDigits(document, end + 1, MOST_DIGITS);
}

/** A form in which 9 stands for any digit. Each byte must lie between two others, both included. */
const INSTANT = '"9999-99-99T99:99:99.999Z"';
const LOWEST = ascii(INSTANT.replaceAll("9", "0"));
const HIGHEST = ascii(INSTANT);

/** The days of each month. The 29th of February is left to those who know which years have it. */
const DAYS = Uint8Array.of(0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31);

/** A time as `toISOString` writes it. */
function endOfInstant(document: Uint8Array, at: number): number {
  const end = at + INSTANT.length;
  if (end > document.length) return -1;
  // Below 0 once a byte is out of its bounds: so there is one branch, instead of one for each byte.
  let room = 0;
  for (let i = 0; i < INSTANT.length; i++) {
    const byte = document[at + i] as number;
    room |= byte - (LOWEST[i] as number) | (HIGHEST[i] as number) - byte;
  }
  if (room < 0) return -1;
  const two = (i: number) => 10 * digit(document, at + i) + digit(document, at + i + 1);
  const [month, day] = [two(6), two(9)];
  const isDay = two(1) + two(3) > 0 && day > 0 && month <= 12 && day <= (DAYS[month] as number);
  return isDay && two(12) < 24 && two(15) < 60 && two(18) < 60 ? end : -1;
}

/** Days before each month, in a year that is none of 366 days. */
const DAYS_BEFORE = Array.from(DAYS, (_, month) => DAYS.subarray(0, month).reduce((sum, days) => sum + days, 0));
/** Days before 1970, counted as below. */
const DAYS_BEFORE_1970 = 719_528;

/** The milliseconds since 1970 of a time at a place of `findValues`. */
export function timeAt(document: Uint8Array, start: number): number {
  const one = (i: number) => (document[start + i] as number) - ZERO;
  const two = (i: number) => 10 * one(i) + one(i + 1);
  const [year, month] = [100 * two(1) + two(3), two(6)];
  // Since a year before, the last day of February is the one that is put in.
  const full = month > 2 ? year : year - 1;
  const leapDays = (full / 4 | 0) - (full / 100 | 0) + (full / 400 | 0);
  const days = 365 * year + leapDays + (DAYS_BEFORE[month] as number) + two(9) - DAYS_BEFORE_1970;
  const seconds = ((24 * days + two(12)) * 60 + two(15)) * 60 + two(18);
  return 1000 * seconds + 10 * two(21) + one(23);
}

/** Hexadecimal digits are marked with 1, as a UUID has them. */
const HEX = Uint8Array.from({ length: 256 }, (_, byte) => /[0-9a-f]/.test(String.fromCharCode(byte)) ? 1 : 0);
/** Where its dashes stand, behind the quote, and how many digits it has. */
const DASHES = [9, 14, 19, 24];
const UUID_DIGITS = 32;
const UUID = '"ffffffff-ffff-ffff-ffff-ffffffffffff"';

function endOfUuid(document: Uint8Array, at: number): number {
  const end = at + UUID.length;
  if (end > document.length || document[at] !== QUOTE || document[end - 1] !== QUOTE) return -1;
  let digits = 0;
  for (let i = at + 1; i < end - 1; i++) digits += HEX[document[i] as number] as number;
  for (const dash of DASHES) if (document[at + dash] !== DASH) return -1;
  return digits === UUID_DIGITS ? end : -1;
}

/** The longest address: of version 6, with one of version 4 in it. */
const MOST_OF_ADDRESS = 45;

/** An IP address, without a zone: PostgreSQL has none. */
function endOfAddress(document: Uint8Array, at: number): number {
  const end = endOfText(document, at);
  if (end < 0 || end > at + MOST_OF_ADDRESS + 2) return -1;
  if (isVersion4(document, at + 1, end - 1)) return end;
  const text = String.fromCharCode(...document.subarray(at + 1, end - 1));
  return isIP(text) === 0 || text.includes("%") ? -1 : end;
}

/** True for four numbers up to 255, without zeros in front. */
function isVersion4(document: Uint8Array, from: number, to: number): boolean {
  let at = from;
  for (let number = 1; number <= 4; number++) {
    const end = endOfWhole(document, at, 3);
    if (end < 0) return false;
    let value = 0;
    for (; at < end; at++) value = 10 * value + digit(document, at);
    if (value > 255 || number < 4 && document[at++] !== DOT) return false;
  }
  return at === to;
}
