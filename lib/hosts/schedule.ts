import { Cron } from "./cron.ts";
import { TimeZone } from "./zone.ts";

/**
 * How often a host is due: after each interval in milliseconds, or at the times of a cron
 * expression. `text` is the FREQUENCY as written.
 */
export type Frequency =
  | { readonly kind: "interval"; readonly text: string; readonly interval: number }
  | { readonly kind: "cron"; readonly text: string; readonly cron: Cron };

const SECOND = 1000;
const UNITS = { s: SECOND, m: 60 * SECOND, h: 3600 * SECOND, d: 86_400 * SECOND } as const;
/** Beyond this, due times would leave the range of a Date. */
const MOST_DAYS = 36_500;

/**
 * Reads a FREQUENCY: minutes in plain decimal digits, a number with a unit, or a quoted cron
 * expression. Throws a SyntaxError or RangeError whose message says what to write instead.
 */
export function parseFrequency(text: string, timeZone: string): Frequency {
  return frequencyReader(timeZone)(text);
}

/**
 * `parseFrequency` for many texts. Equal texts give the same Frequency, so that thousands of hosts
 * share one cron expression.
 */
export function frequencyReader(timeZone: string): (text: string) => Frequency {
  const zone = new TimeZone(timeZone);
  const known = new Map<string, Frequency>();
  return (text) => {
    let frequency = known.get(text);
    if (frequency === undefined) known.set(text, frequency = readFrequency(text, zone));
    return frequency;
  };
}

/**
 * The first due time after `after`; both are milliseconds since 1970. The due times of an interval
 * are a grid, the same after every restart. Each address shifts it by an amount of its own, so that
 * hosts of one interval are spread evenly.
 */
export function nextDue(frequency: Frequency, address: string, after: number): number {
  if (frequency.kind === "cron") return frequency.cron.next(after);
  const { interval } = frequency;
  const phase = hashOf(address) % interval;
  return (Math.floor((after - phase) / interval) + 1) * interval + phase;
}

/**
 * How many due times there are from `first`, which is one, up to and including `last`. Counted by
 * arithmetic, however many.
 */
export function countDue(frequency: Frequency, first: number, last: number): number {
  if (frequency.kind === "interval") return Math.floor((last - first) / frequency.interval) + 1;
  return 1 + frequency.cron.count(first, last);
}

/** The due time that comes `steps` due times after `first`, which is a due time. */
export function advanceDue(frequency: Frequency, first: number, steps: number): number {
  if (frequency.kind === "interval") return first + steps * frequency.interval;
  return frequency.cron.advance(first, steps);
}

/**
 * A number from 0 to 2^53 - 1 that looks random. The same text gives the same number in every run,
 * on every machine.
 */
export function hashOf(text: string): number {
  // Two FNV-1a hashes of 32 bits, each mixed at the end (murmur3's finalizer). FNV alone gives
  // similar texts similar numbers.
  let [high, low] = [0x811c9dc5, 0x2f0b4a27];
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    high = Math.imul(high ^ unit, 0x01000193);
    low = Math.imul(low ^ unit, 0x01000193);
  }
  return (mix(high) >>> 11) * 2 ** 32 + (mix(low) >>> 0);
}

function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function readFrequency(text: string, zone: TimeZone): Frequency {
  if (text.startsWith('"')) return { kind: "cron", text, cron: new Cron(unquote(text), zone) };
  const match = /^(?<number>\d+(?:\.\d+)?)(?<unit>[smhd]?)$/.exec(text)?.groups;
  if (match === undefined) throw new SyntaxError(`"${text}" is no FREQUENCY: ${advice(text)}`);
  const unit = UNITS[(match["unit"] || "m") as keyof typeof UNITS];
  const interval = Number(match["number"]) * unit;
  if (interval < SECOND) throw new RangeError(`"${text}" is less than 1 second: write 1s or more`);
  if (interval > MOST_DAYS * UNITS.d) {
    throw new RangeError(`"${text}" is more than ${MOST_DAYS} days: write ${MOST_DAYS}d or less`);
  }
  return { kind: "interval", text, interval: Math.round(interval) };
}

/** Takes the quotes off. */
function unquote(text: string): string {
  if (text.length < 2 || !text.endsWith('"')) {
    throw new SyntaxError(`${text} lacks its closing quote: write "*/5 * * * *"`);
  }
  return text.slice(1, -1);
}

function advice(text: string): string {
  const comma = /^(\d+),(\d+)([smhd]?)$/.exec(text);
  if (comma !== null) return `write ${comma[1]}.${comma[2]}${comma[3]}`;
  const capital = /^(\d+(?:\.\d+)?)([SMHD])$/.exec(text);
  if (capital !== null) return `write ${capital[1]}${capital[2]?.toLowerCase()}`;
  return 'write minutes (5, 0.5), a number with a unit (30s, 5m, 2h, 1d) or a cron expression in double quotes ("*/5 * * * *")';
}
