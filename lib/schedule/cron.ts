import { type CronExpression, CronExpressionParser } from "cron-parser";
import type { Stretch, TimeZone } from "./zone.ts";

const ALIASES: ReadonlySet<string> = new Set(["@hourly", "@daily", "@weekly", "@monthly", "@yearly"]);

/** What each field may hold, for a message; the last five are the fields of the short form. */
const FIELDS = [
  { name: "second", values: "numbers from 0 to 59" },
  { name: "minute", values: "numbers from 0 to 59" },
  { name: "hour", values: "numbers from 0 to 23" },
  { name: "day of the month", values: "numbers from 1 to 31" },
  { name: "month", values: "numbers from 1 to 12 or names from jan to dec" },
  { name: "weekday", values: "numbers from 0 (Sunday) to 7 (Sunday) or names from sun to sat" },
] as const;

const FORM = "a cron expression has five fields (minute hour day month weekday), or six with seconds in front";
const DAY = 86_400_000;
/** As many answers as a host's due times that are asked for in a row, so that hosts which share a cron share them too. */
const REMEMBERED = 4;

/**
 * A cron expression in a time zone. When clocks change, it goes by the rule of cron(8) in Debian: with `*` in its minute,
 * hour or second field it follows what the clocks show, so it goes on through a repeated hour; any other names times of
 * day, each of which comes once: the first time where an hour is repeated, and as much later as the clocks jump where
 * they skip it (02:30 becomes 03:30).
 */
export class Cron {
  readonly #expression: CronExpression;
  readonly #zone: TimeZone;
  readonly #followsClocks: boolean;
  #recent: { readonly after: number; readonly due: number }[] = [];

  /** Takes five or six fields or an alias. Throws a SyntaxError that says what to write instead. */
  constructor(text: string, zone: TimeZone) {
    const fields = text.trim().split(/\s+/);
    this.#expression = parse(fields, text);
    this.#zone = zone;
    this.#followsClocks = fields[0] === "@hourly" || /[*?]/.test(fields.slice(0, -3).join(""));
  }

  /** The first due time strictly later than `after`; both are milliseconds since 1970. */
  next(after: number): number {
    const known = this.#recent.find((answer) => answer.after <= after && after < answer.due);
    if (known !== undefined) return known.due;
    const due = this.#search(after);
    this.#recent = [{ after, due }, ...this.#recent].slice(0, REMEMBERED);
    return due;
  }

  #search(after: number): number {
    let stretch = this.#zone.stretchAt(after);
    while (true) {
      const due = this.#nextIn(stretch, after);
      if (due < stretch.end) return due;
      // A yearly one need not look at every stretch until then: days before it is nothing. Unless the clocks go back
      // within the day: they may then show once more what they showed before `after`.
      const from = stretch.end - after < DAY ? stretch.end : Math.max(stretch.end, due - 2 * DAY);
      stretch = this.#zone.stretchAt(from);
      after = from - 1;
    }
  }

  /** The first due time after `after` that the clocks of this stretch show; it may lie beyond the stretch. */
  #nextIn({ start, offset, before }: Stretch, after: number): number {
    const late = Math.max(after, start - 1);
    if (this.#followsClocks || before === offset) return this.#nextOnClock(late + offset) - offset;
    // Clocks went back: what they show now until `start + before` they have shown already.
    if (before > offset) return this.#nextOnClock(Math.max(late + offset, start + before - 1)) - offset;
    // Clocks went forward: times between `start + before` and `start + offset` were skipped, and are made up for.
    const made = this.#nextOnClock(late + before);
    const regular = this.#nextOnClock(late + offset) - offset;
    return made < start + offset ? Math.min(made - before, regular) : regular;
  }

  /** The first match later than `wall`, both as if they were UTC: cron-parser alone is not right in an hour that repeats. */
  #nextOnClock(wall: number): number {
    this.#expression.reset(new Date(wall));
    return this.#expression.next().getTime();
  }
}

function parse(fields: readonly string[], text: string): CronExpression {
  const [first = ""] = fields;
  if (first === "") throw new SyntaxError(`"${text}" is empty: ${FORM}`);
  if (first.startsWith("@")) return parseAlias(fields.join(" "));
  if (fields.length !== 5 && fields.length !== 6) {
    throw new SyntaxError(`"${text}" has ${fields.length} field${fields.length === 1 ? "" : "s"}: ${FORM}`);
  }
  fields.forEach((field, index) => checkField(field, FIELDS[index + FIELDS.length - fields.length] ?? FIELDS[0]));
  try {
    return CronExpressionParser.parse(fields.join(" "), { tz: "UTC" });
  } catch {
    throw new SyntaxError(`"${text}" is never due: none of its months has such a day`);
  }
}

function parseAlias(text: string): CronExpression {
  if (!ALIASES.has(text)) {
    throw new SyntaxError(`"${text}" is not known: write @hourly, @daily, @weekly, @monthly or @yearly`);
  }
  return CronExpressionParser.parse(text, { tz: "UTC" });
}

/** Parses one field among wildcards, so that the message can name it. */
function checkField(field: string, { name, values }: typeof FIELDS[number]): void {
  const words = field.match(/[a-z]+/gi) ?? [];
  if (words.some((word) => /^H+$/i.test(word))) {
    throw new SyntaxError(`"${field}" lets the ${name} be chosen at random: write a number, such as 7, instead of H`);
  }
  // cron-parser finds an H to replace in other words too, such as that of SUNH(1-5).
  const problem = words.every((word) => /^(?:[a-z]{3})?L?$/i.test(word)) ? problemAlone(field, name) : "unknown word";
  if (problem === null) return;
  if (/duplicate/.test(problem)) throw new SyntaxError(`"${field}" names a ${name} twice: write each once`);
  throw new SyntaxError(
    `"${field}" is no ${name} of a cron expression: write ${values}; lists (1,5), ranges (1-5) and steps (*/5) of them work`,
  );
}

/** What cron-parser says of a field. */
function problemAlone(field: string, name: string): string | null {
  try {
    CronExpressionParser.parse(FIELDS.map((other) => other.name === name ? field : "*").join(" "), { tz: "UTC" });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
