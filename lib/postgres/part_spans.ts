import type { Partition } from "../config/setting_types.ts";

// The parts of a table by time: which one a metric belongs to, and which are missing.

/** How long the parts of a table are. */
export type PartLength = Exclude<Partition, "none">;

/** A stretch of time in milliseconds since 1970, `to` excluded. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The UTC day of a moment. */
export const dayOf = (at: Date | number) => new Date(at).toISOString().slice(0, 10);

/** A part of a table, with its name in the table's schema. */
export interface Part extends Span {
  readonly name: string;
}

/** The parts that are made ahead, with the current one. */
export const PARTS_AHEAD = 4;
/** The parts of a year, with that of now not counted. */
export const PARTS_OF_A_YEAR: Readonly<Record<PartLength, number>> = { month: 12, day: 366 };

/** The month or day (UTC) that a moment belongs to. */
export function spanOf(length: PartLength, at: number): Span {
  const date = new Date(at);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  return length === "month"
    ? { from: Date.UTC(year, month), to: Date.UTC(year, month + 1) }
    : { from: Date.UTC(year, month, day), to: Date.UTC(year, month, day + 1) };
}

/** The spans from that of a moment on. */
export function spansFrom(length: PartLength, at: number, count: number): Span[] {
  const spans = [spanOf(length, at)];
  while (spans.length < count) spans.push(spanOf(length, (spans.at(-1) as Span).to));
  return spans;
}

/** The spans of the parts that a person makes: the one before now, and a year ahead. */
export function spansByHand(length: PartLength, now: number): Span[] {
  const before = spanOf(length, spanOf(length, now).from - 1);
  return spansFrom(length, before.from, PARTS_OF_A_YEAR[length] + 2);
}

/**
 * How many names a part may have: those before may belong to the parts of a table that was renamed.
 */
const NAMES = 9;
/** PostgreSQL cuts longer names silently. */
const MAX_NAME_BYTES = 63;

/** The names that a part may get, in the order in which they are tried. All have its ending. */
export function partNames(table: string, length: PartLength, span: Span): string[] {
  const ending = partEnding(length, span);
  const others = Array.from({ length: NAMES - 1 }, (_, i) => {
    const number = `_${i + 2}`;
    return cutToBytes(table, MAX_NAME_BYTES - number.length - ending.length) + number + ending;
  });
  return [table + ending, ...others];
}

/** The beginning of a text, of whole characters. */
function cutToBytes(text: string, most: number): string {
  let cut = "";
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > most) break;
    cut += character;
  }
  return cut;
}

/** The ending of a part's name: `_202611` for a month, `_20261130` for a day. */
export function partEnding(length: PartLength, { from }: Span): string {
  const digits = new Date(from).toISOString().slice(0, 10).replaceAll("-", "");
  return `_${length === "month" ? digits.slice(0, 6) : digits}`;
}

/**
 * The length of a table's parts, if a consumer made them or they are like those: it makes the
 * others too. Null for a user's own parts. The last part counts that tells.
 */
export function lengthOf(parts: readonly Part[]): PartLength | null {
  const lengths = parts.map((part) => (["month", "day"] as const).find((length) => isMade(part, length)));
  return lengths.findLast((length) => length !== undefined) ?? null;
}

function isMade({ name, from, to }: Part, length: PartLength): boolean {
  if (!Number.isFinite(from) || !Number.isFinite(to)) return false;
  const span = spanOf(length, from);
  return span.from === from && span.to === to && name.endsWith(partEnding(length, span));
}

/**
 * The spans without a part that these moments belong to, in order. A span is shorter than its month
 * or day where another part has a piece of it.
 */
export function missingSpans(length: PartLength, moments: Iterable<number>, parts: readonly Span[]): Span[] {
  const missing: Span[] = [];
  for (const at of moments) {
    const holds = ({ from, to }: Span) => from <= at && at < to;
    if (parts.some(holds) || missing.some(holds)) continue;
    const { from, to } = spanOf(length, at);
    missing.push({
      from: Math.max(from, ...parts.map((part) => part.to).filter((end) => end <= at)),
      to: Math.min(to, ...parts.map((part) => part.from).filter((start) => start > at)),
    });
  }
  return missing.toSorted((a, b) => a.from - b.from);
}

/** Metrics from here on get a part. Any that is older comes from a clock that was never set. */
const EARLIEST = "2000-01-01T00:00:00.000Z";
/** Milliseconds. A clock that is further ahead than this is wrong. */
const MOST_AHEAD = 2 * 86_400_000;

/** The moments that a metric may have, as `toISOString` writes them; `latest` included. */
export interface StorableTimes {
  readonly earliest: string;
  readonly latest: string;
}

/** The moments of metrics that a table with parts takes now. */
export function storableTimes(now: number): StorableTimes {
  return { earliest: EARLIEST, latest: new Date(now + MOST_AHEAD).toISOString() };
}

/** Why a table with parts takes no metric of this moment; null if it does. */
export function reasonOutside(at: string, { earliest, latest }: StorableTimes): string | null {
  if (at >= earliest && at <= latest) return null;
  return `scheduled_at: ${at} is not between ${earliest} and two days from now (${latest}); look at the producer's clock`;
}
