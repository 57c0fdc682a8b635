import { type CronDayOfMonth, type CronDayOfWeek, CronExpressionParser } from "cron-parser";
import type { ClockFields } from "./clock_times.ts";

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["@hourly", "0 * * * *"],
  ["@daily", "0 0 * * *"],
  ["@weekly", "0 0 * * 0"],
  ["@monthly", "0 0 1 * *"],
  ["@yearly", "0 0 1 1 *"],
]);

/**
 * The values of each field, for messages. With `unit`, a FREQUENCY can be written instead of a step
 * that is too long.
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
type Field = typeof FIELDS[number];

/** In the order of their numbers: the length of a range needs no more. */
const NAMES = "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat".split(" ");

const FORM = "a cron expression has five fields (minute hour day month weekday), or six with seconds in front";

/** The content of a cron expression. */
export interface CronFields extends ClockFields {
  /** True where its second, minute or hour has `*`. */
  readonly followsClocks: boolean;
}

/** Reads five or six fields or an alias. Throws a SyntaxError that says what to write instead. */
export function readCron(text: string): CronFields {
  const written = text.trim().split(/\s+/);
  const fields = written[0]?.startsWith("@") === true ? expand(written.join(" ")) : written;
  if (fields[0] === "") throw new SyntaxError(`"${text}" is empty: ${FORM}`);
  if (fields.length !== 5 && fields.length !== 6) {
    throw new SyntaxError(`"${text}" has ${fields.length} field${fields.length === 1 ? "" : "s"}: ${FORM}`);
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
function dayRule(dayOfMonth: CronDayOfMonth, dayOfWeek: CronDayOfWeek, isOneEnough: boolean): ClockFields["isDay"] {
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
function checkField(field: string, { name, values, count, unit }: Field): void {
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
