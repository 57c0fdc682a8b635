import { type CronDayOfMonth, type CronDayOfWeek, CronExpressionParser } from "cron-parser";
import { hide } from "./address.ts";
import { Cron, type CronFields, type Frequency } from "./schedule.ts";
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
/** Of months and weekdays, in the order of their numbers: the length of a range needs no more. */
const NAMES = "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat".split(" ");
const NAME = NAMES.join("|");
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
  if (text.startsWith('"')) return { kind: "cron", text, cron: readCron(unquote(text), zone) };
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

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["@hourly", "0 * * * *"],
  ["@daily", "0 0 * * *"],
  ["@weekly", "0 0 * * 0"],
  ["@monthly", "0 0 1 * *"],
  ["@yearly", "0 0 1 1 *"],
]);

/**
 * The values of each field of a cron expression, for messages. With `unit`, a FREQUENCY can be
 * written instead of a step that is too long.
 */
const FIELDS = [
  { name: "second", values: "numbers from 0 to 59", count: 60, unit: "s" },
  { name: "minute", values: "numbers from 0 to 59", count: 60, unit: "m" },
  { name: "hour", values: "numbers from 0 to 23", count: 24, unit: "h" },
  { name: "day of the month", values: "numbers from 1 to 31", count: 31, unit: "d" },
  { name: "month", values: "numbers from 1 to 12 or names from jan to dec", count: 12, unit: null },
  {
    name: "weekday",
    values: "numbers from 0 (Sunday) to 7 (Sunday) or names from sun to sat",
    count: 7,
    unit: null,
  },
] as const;
type CronField = typeof FIELDS[number];

const CRON_FORM = "a cron expression has five fields (minute hour day month weekday), or six with seconds in front";

/**
 * Reads a cron expression: five or six fields, or an alias. Throws a SyntaxError that says what to
 * write instead.
 */
export function readCron(text: string, zone: TimeZone): Cron {
  const cron = new Cron(readFields(text), zone);
  if (!cron.isEverDue) throw new SyntaxError(`"${text}" is never due: none of its months has such a day`);
  return cron;
}

function readFields(text: string): CronFields {
  const written = text.trim().split(/\s+/);
  const fields = written[0]?.startsWith("@") === true ? expand(written.join(" ")) : written;
  if (fields[0] === "") throw new SyntaxError(`"${text}" is empty: ${CRON_FORM}`);
  if (fields.length !== 5 && fields.length !== 6) {
    throw new SyntaxError(`"${text}" has ${fields.length} field${fields.length === 1 ? "" : "s"}: ${CRON_FORM}`);
  }
  fields.forEach((field, index) => checkField(field, FIELDS[index + FIELDS.length - fields.length] ?? FIELDS[0]));
  const [second, minute, hour, day, month, weekday] = fields.length === 6 ? fields : ["0", ...fields];
  // Parsed without the month. Whether such a day ever comes depends on the weekday too.
  const { fields: parsed } = CronExpressionParser.parse([second, minute, hour, day, "*", weekday].join(" "), UTC);
  return {
    seconds: parsed.second.values,
    minutes: parsed.minute.values,
    hours: parsed.hour.values,
    months: CronExpressionParser.parse(`* * * * ${month} *`, UTC).fields.month.values,
    isDay: dayRule(parsed.dayOfMonth, parsed.dayOfWeek, ![day, weekday].some((field) => /^[*?]/.test(field ?? ""))),
    followsClocks: /[*?]/.test(fields.slice(0, -3).join("")),
  };
}

const UTC = { tz: "UTC" } as const;

function expand(alias: string): string[] {
  const fields = ALIASES.get(alias);
  if (fields !== undefined) return fields.split(" ");
  throw new SyntaxError(`"${alias}" is not known: write @hourly, @daily, @weekly, @monthly or @yearly`);
}

/**
 * The rule by which days match (crontab(5) in Debian). Where neither the day of the month nor the
 * weekday begins with `*`, one of them is enough. Otherwise both must match; `*` alone always does.
 */
function dayRule(dayOfMonth: CronDayOfMonth, dayOfWeek: CronDayOfWeek, isOneEnough: boolean): CronFields["isDay"] {
  const [days, weekdays]: [ReadonlySet<unknown>, ReadonlySet<unknown>] = [
    new Set(dayOfMonth.values),
    new Set(dayOfWeek.values),
  ];
  const { nthDay } = dayOfWeek;
  const isInMonth = (day: number, length: number) => days.has(day) || (dayOfMonth.hasLastChar && day === length);
  const isInWeek = (day: number, weekday: number, length: number) => {
    if (weekdays.has(weekday) && (nthDay === 0 || Math.ceil(day / 7) === nthDay)) return true;
    return day > length - 7 && (weekdays.has(`${weekday}L`) || (weekday === 0 && weekdays.has("7L")));
  };
  return (day, weekday, length) => {
    const [inMonth, inWeek] = [isInMonth(day, length), isInWeek(day, weekday, length)];
    return isOneEnough ? inMonth || inWeek : inMonth && inWeek;
  };
}

/** Parses one field among wildcards, so that the message can name it. */
function checkField(field: string, { name, values, count, unit }: CronField): void {
  const words = field.match(/[a-z]+/gi) ?? [];
  if (words.some((word) => /^H+$/i.test(word))) {
    throw new SyntaxError(`"${field}" lets the ${name} be chosen at random: write a number, such as 7, instead of H`);
  }
  // cron-parser finds an H to replace in other words too, such as in SUNH(1-5).
  const problem = words.every((word) => /^(?:[a-z]{3})?L?$/i.test(word)) ? problemAlone(field, name) : "unknown word";
  if (problem !== null && /duplicate/.test(problem)) {
    throw new SyntaxError(`"${field}" names a ${name} twice: write each once`);
  }
  if (problem !== null) {
    throw new SyntaxError(
      `"${field}" is no ${name} of a cron expression: write ${values}; lists (1,5), ranges (1-5) and steps (*/5) of them work`,
    );
  }
  const tooLong = field.split(",").find((part) => isStepTooLong(part, count));
  if (tooLong === undefined) return;
  const [of = "", step = ""] = tooLong.split("/");
  const steps = `${step} ${name.split(" ", 1)[0]}s`;
  const instead = unit === null || step.length > 4 ? "" : `; or, for every ${steps}, ${step}${unit} as FREQUENCY`;
  throw new SyntaxError(
    `"${tooLong}" has a step of ${steps}, and ${valuesOf(of, count)} are the most here: write a smaller one${instead}`,
  );
}

/** Such a step takes the first value only, and so does something else than it says. */
function isStepTooLong(part: string, count: number): boolean {
  const [of = "", step] = part.split("/");
  return step !== undefined && Number(step) > valuesOf(of, count);
}

/** How many values a step goes through. */
function valuesOf(of: string, count: number): number {
  const numbers = of.replace(/[a-z]+/gi, (name) => String(NAMES.indexOf(name.toLowerCase())));
  const [, first, last] = /^(\d+)-(\d+)$/.exec(numbers) ?? [];
  return first === undefined ? count : Number(last) - Number(first) + 1;
}

/** What cron-parser says about a field. */
function problemAlone(field: string, name: string): string | null {
  try {
    CronExpressionParser.parse(FIELDS.map((other) => other.name === name ? field : "*").join(" "), UTC);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
