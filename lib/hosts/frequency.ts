import { hide } from "./address.ts";
import { Cron } from "./cron.ts";
import type { Frequency } from "./schedule.ts";
import { TimeZone } from "./zone.ts";

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
 * The FREQUENCY that `rest`, the rest of a line, begins with. Throws a SyntaxError where nobody can
 * tell its end; the message says what to write instead.
 */
export function frequencyField(rest: string): string {
  if (rest === "") {
    throw new SyntaxError(
      "FREQUENCY is missing: write minutes (5), a number with a unit (30s, 2h) or a cron expression in double quotes",
    );
  }
  const unquoted = forgottenQuotes(rest);
  if (unquoted !== null) throw new SyntaxError(`put the cron expression in double quotes: "${unquoted}"`);
  const [text = ""] = FIELD.exec(rest) ?? [];
  const isStuck = text.startsWith('"') && /[^ \t]/.test(rest.charAt(text.length));
  if (isStuck) throw new SyntaxError(`a blank is missing after ${text}`);
  return text;
}

/** A cron expression in its quotes, or all up to the next blank. */
const FIELD = /^(?:"[^"]*"?|[^ \t]*)/;
const NAME = "sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec";
const ITEM = String.raw`(?:[*?]|\d{1,2}|L|${NAME})(?:-(?:\d{1,2}|${NAME}))?(?:/\d+|#\d|L)?`;
const CRON_FIELD = new RegExp(`^${ITEM}(?:,${ITEM})*$`, "i");
/**
 * A number with a unit. No cron field looks like that, so the rest of the line need not be looked
 * at.
 */
const WITH_UNIT = /^[\d.]+[smhd](?:[ \t]|$)/;
const QUOTES = /^(?:'([^']*)'|[“”„«]([^“”»]*)[“”»])/;

/** The cron expression at the beginning of `rest`, where it lacks its double quotes; else null. */
function forgottenQuotes(rest: string): string | null {
  if (rest.startsWith('"') || WITH_UNIT.test(rest)) return null;
  const quoted = QUOTES.exec(rest);
  if (quoted !== null) return quoted[1] ?? quoted[2] ?? "";
  // Six at most: cron has no more.
  const fields = rest.split(/[ \t]+/, 6);
  const [first = ""] = fields;
  if (/^@\w+$/.test(first)) return first;
  const other = fields.findIndex((field) => !CRON_FIELD.test(field));
  const leading = other === -1 ? fields : fields.slice(0, other);
  // Fewer fields may be a number and a REGEX that begins with numbers, or a slip such as 0,5. Only
  // cron begins with * or ?.
  return leading.length >= 5 || /^[*?]/.test(leading[0] ?? "") ? leading.join(" ") : null;
}

function readFrequency(text: string, zone: TimeZone): Frequency {
  if (text.startsWith('"')) return { kind: "cron", text, cron: new Cron(unquote(text), zone) };
  const match = /^(?<number>\d+(?:\.\d+)?)(?<unit>[smhd]?)$/.exec(text)?.groups;
  if (match === undefined) {
    // Where a password holds a blank, the rest of it ends up here.
    const shown = hide(text);
    throw new SyntaxError(`"${shown}" is no FREQUENCY: ${advice(shown)}`);
  }
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
