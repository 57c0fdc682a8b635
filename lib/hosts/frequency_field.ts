import { hide } from "./address.ts";
import { type HostsLine, lengthOfField, skipBlanks } from "./hosts_line.ts";
import type { Frequency } from "./schedule.ts";

/** Reads the FREQUENCY of a line with `read`. Null where it is wrong, which is then reported. */
export function readFrequencyField(line: HostsLine, read: (text: string) => Frequency): Frequency | null {
  const { rest } = line;
  if (rest === "") {
    line.take(0);
    return line.report(
      "FREQUENCY is missing: write minutes (5), a number with a unit (30s, 2h) or a cron expression in double quotes",
    );
  }
  const unquoted = forgottenQuotes(rest);
  if (unquoted !== null) {
    line.take(0);
    return line.report(`put the cron expression in double quotes: "${unquoted}"`);
  }
  const text = line.take(rest.startsWith('"') ? lengthOfQuoted(rest) : lengthOfField(rest));
  if (text.startsWith('"') && lengthOfField(rest.slice(text.length)) > 0) {
    return line.report(`a blank is missing after ${text}`);
  }
  try {
    // Where a password holds a blank, the rest of it ends up here.
    return read(text.startsWith('"') ? text : hide(text));
  } catch (error) {
    return line.report((error as Error).message);
  }
}

function lengthOfQuoted(text: string): number {
  const end = text.indexOf('"', 1);
  return end < 0 ? text.length : end + 1;
}

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
  const first = rest.slice(0, lengthOfField(rest));
  if (/^@\w+$/.test(first)) return first;
  const fields = leadingCronFields(rest);
  // Fewer fields may be a number and a REGEX that begins with numbers, or a slip such as 0,5. Only
  // cron begins with * or ?.
  return fields.length >= 5 || /^[*?]/.test(fields[0] ?? "") ? fields.join(" ") : null;
}

/** The fields at the beginning of a text that cron could hold, six at most. */
function leadingCronFields(text: string): string[] {
  const fields: string[] = [];
  for (let rest = text; fields.length < 6 && rest !== ""; rest = rest.slice(skipBlanks(rest, lengthOfField(rest)))) {
    const field = rest.slice(0, lengthOfField(rest));
    if (!CRON_FIELD.test(field)) break;
    fields.push(field);
  }
  return fields;
}
