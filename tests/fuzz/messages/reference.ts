import { isUtf8 } from "node:buffer";
import type { Message } from "./made_up.ts";

/**
 * The content of a message by the documents alone: the columns of its row. Times are milliseconds
 * since 1970.
 */
export type Reading = Readonly<Record<string, string | number | boolean | null>>;

const MOST_BYTES = 1_048_576;
const PHASES = ["latency_dns", "latency_connect", "latency_tls", "latency_first_byte", "latency_body"];
const TEXTS = ["error", "error_detail", "location", "producer"];

/** The numbers beyond which a phase is stored as 0, and as the other one. */
const [SMALLEST, LARGEST] = [1e-37, 3e38];

/** A reading, or a row, with its phases as the table has them: in single precision, and within its range. */
export function inSinglePrecision(reading: Reading): Reading {
  const stored = (seconds: number) => Math.fround(seconds < SMALLEST ? 0 : Math.min(seconds, LARGEST));
  const phases = PHASES.map((name) => [name, reading[name]] as const);
  return {
    ...reading,
    ...Object.fromEntries(phases.map(([name, value]) => [name, typeof value === "number" ? stored(value) : null])),
  };
}

/** The one form, of the many of an IPv6 address: PostgreSQL writes ::ffff:191 as ::255.255.1.145. */
export function canonicalAddress(value: unknown): unknown {
  return typeof value === "string" && value.includes(":") ? new URL(`http://[${value}]`).hostname : value;
}

/** The message can have no row. */
class NoMetric extends Error {}

/**
 * Reads a message a second time, slowly and field by field, without any code of the program. Null
 * where it is no metric.
 */
export function read({ value, timestamp }: Message): Reading | null {
  try {
    return readDocument(documentOf(value), timestamp);
  } catch (error) {
    if (error instanceof NoMetric || error instanceof SyntaxError) return null;
    throw error;
  }
}

function documentOf(value: Uint8Array | null): object {
  demand(value !== null && value.length <= MOST_BYTES && isUtf8(value));
  const text = Buffer.from(value as Uint8Array).toString("utf8");
  const json: unknown = JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  demand(typeof json === "object" && json !== null && !Array.isArray(json));
  return json as object;
}

function readDocument(json: object, timestamp: number): Reading {
  const own = (name: string): unknown => Object.getOwnPropertyDescriptor(json, name)?.value;
  const reading: Record<string, Reading[string]> = {
    address: textOf(own("address")),
    status_code: own("status_code") === null ? null : statusOf(own("status_code")),
    latency: secondsOf(own("latency")),
    is_valid: own("is_valid") === true,
  };
  demand(typeof own("is_valid") === "boolean");
  const optional = (name: string, of: (value: unknown) => Reading[string]) => {
    reading[name] = own(name) === undefined || own(name) === null ? null : of(own(name));
  };
  for (const name of PHASES) optional(name, secondsOf);
  for (const name of TEXTS) optional(name, textOf);
  for (const name of ["scheduled_at", "checked_at", "tls_expires_at", "next_at"]) optional(name, timeOf);
  optional("check_id", idOf);
  optional("up", flagOf);
  optional("remote_address", addressOf);
  optional("labels", labelsOf);
  reading.checked_at ??= recordTime(timestamp);
  return reading;
}

function demand(condition: boolean): void {
  if (!condition) throw new NoMetric();
}

function textOf(value: unknown): string {
  demand(typeof value === "string");
  // Reads character by character: half a surrogate pair is one code point here.
  for (const character of value as string) {
    const code = character.codePointAt(0) as number;
    demand(code !== 0 && !(code >= 0xd800 && code <= 0xdfff));
  }
  return value as string;
}

function secondsOf(value: unknown): number {
  demand(typeof value === "number" && Number.isFinite(value) && value >= 0);
  return Math.abs(value as number);
}

function statusOf(value: unknown): number {
  demand(typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 999);
  return Math.abs(value as number);
}

function flagOf(value: unknown): boolean {
  demand(typeof value === "boolean");
  return value as boolean;
}

/** An object of texts, as the text of `labelsText`. */
function labelsOf(value: unknown): string {
  demand(typeof value === "object" && !Array.isArray(value));
  for (const text of Object.entries(value as object).flat()) textOf(text);
  return labelsText(value as object);
}

/** Labels as one text, whatever their order. */
export function labelsText(labels: object): string {
  return JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => a < b ? -1 : 1));
}

/** An IP address without a zone, by the URL parser's rules or in four plain decimal numbers. */
function addressOf(value: unknown): string {
  demand(typeof value === "string");
  const text = value as string;
  const numbers = text.split(".");
  const isV4 = numbers.length === 4 &&
    numbers.every((n) => String(Number(n)) === n && Number(n) >= 0 && Number(n) <= 255);
  demand(isV4 || (text.includes(":") && URL.canParse(`http://[${text}]`)));
  return text;
}

function idOf(value: unknown): string {
  demand(typeof value === "string");
  const parts = (value as string).toLowerCase().split("-");
  demand(parts.map(({ length }) => length).join() === "8,4,4,4,12");
  demand([...parts.join("")].every((character) => "0123456789abcdef".includes(character)));
  return (value as string).toLowerCase();
}

/** The record's time where the document has none. -1 means "none" in Kafka. */
function recordTime(timestamp: number): number {
  demand(Number.isInteger(timestamp) && timestamp !== -1 && isInFourDigits(timestamp));
  return timestamp;
}

const DAY = 86_400_000;
/** The first millisecond of the year 1, and the last of 9999. */
const isInFourDigits = (time: number) => time >= -719_162 * DAY && time < 2_932_897 * DAY;

/**
 * RFC 3339, with parts of ISO 8601: no seconds, 24:00, a zone without a colon or without minutes.
 */
function timeOf(value: unknown): number {
  demand(typeof value === "string");
  const text = (value as string).toUpperCase();
  // The last sign is the zone's. The date has two dashes of its own.
  const [date = "", rest = ""] = [text.slice(0, 10), text.slice(11)];
  demand(text[10] === "T");
  const zoneAt = rest.search(/[Z+-]/);
  demand(zoneAt > 0);
  const [clock, zone] = [rest.slice(0, zoneAt), rest.slice(zoneAt)];
  const time = dayOf(date) * DAY + clockOf(clock) - zoneOf(zone);
  demand(isInFourDigits(time));
  return time;
}

function digits(text: string | undefined, length: number): number {
  demand(text !== undefined && text.length === length && [...text].every((digit) => digit >= "0" && digit <= "9"));
  return Number(text);
}

/** Days since 1970, counted year by year and month by month. */
function dayOf(date: string): number {
  const parts = date.split("-");
  demand(parts.length === 3);
  const [year, month, day] = [digits(parts[0], 4), digits(parts[1], 2), digits(parts[2], 2)];
  const isLeap = (year: number) => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const lengths = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  demand(year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= (lengths[month - 1] as number));
  let days = -719_162;
  for (let past = 1; past < year; past++) days += isLeap(past) ? 366 : 365;
  for (const length of lengths.slice(0, month - 1)) days += length;
  return days + day - 1;
}

function clockOf(clock: string): number {
  const [whole = "", fraction, ...more] = clock.split(".");
  const parts = whole.split(":");
  demand(more.length === 0 && (parts.length === 3 || (parts.length === 2 && fraction === undefined)));
  const [hour, minute, second] = [digits(parts[0], 2), digits(parts[1], 2), digits(parts[2] ?? "00", 2)];
  const beyond = fraction === undefined ? 0 : digits(fraction, Math.max(fraction.length, 1));
  demand(minute <= 59 && second <= 59);
  demand(hour <= 23 || (hour === 24 && minute === 0 && second === 0 && beyond === 0));
  const thousandths = digits((fraction ?? "").slice(0, 3).padEnd(3, "0"), 3);
  return ((hour * 60 + minute) * 60 + second) * 1000 + thousandths;
}

function zoneOf(zone: string): number {
  if (zone === "Z") return 0;
  const numbers = zone.slice(1).replace(/^(..):(..)$/, "$1$2").padEnd(4, "0");
  demand(zone.length !== 4 && zone.length >= 3);
  const [hours, minutes] = [digits(numbers.slice(0, 2), 2), digits(numbers.slice(2), 2)];
  demand(hours <= 23 && minutes <= 59);
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
