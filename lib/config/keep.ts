/** How long rows are kept: so many days, months or years, or for ever. */
export type Keep = "all" | KeptTime;

interface KeptTime {
  readonly count: number;
  readonly unit: "day" | "month" | "year";
}

/** The most of each unit: no moment before the years of our era is wanted. */
const MOST = { day: 99_999, month: 9_999, year: 999 } as const;

/** Reads `30days`, `13months`, `5years` or `all`. Throws a SyntaxError. */
export function parseKeep(text: string): Keep {
  const words = text.trim().toLowerCase();
  if (words === "all") return "all";
  const [, digits = "", unit = ""] = /^(\d{1,5}) ?(day|month|year)s?$/.exec(words) ?? [];
  const count = Number(digits);
  if (!isUnit(unit) || count < 1 || count > MOST[unit]) {
    throw new SyntaxError("write so many days, months or years, such as 30days, 13months or 5years, or all");
  }
  return { count, unit };
}

const isUnit = (text: string): text is KeptTime["unit"] => text in MOST;

/** The text that `parseKeep` reads. */
export function keepText(keep: Keep): string {
  return keep === "all" ? keep : `${keep.count}${keep.unit}s`;
}

const DAY = 86_400_000;

/**
 * The moment before which nothing is kept, in milliseconds since 1970; `-Infinity`: all is kept. A
 * month before 31 March is the last of February (UTC).
 */
export function cutoffOf(keep: Keep, now: number): number {
  if (keep === "all") return -Infinity;
  if (keep.unit === "day") return now - keep.count * DAY;
  const months = keep.unit === "year" ? 12 * keep.count : keep.count;
  const date = new Date(now);
  const [day, month] = [date.getUTCDate(), date.getUTCMonth() - months];
  date.setUTCMonth(month);
  // Beyond the month's end the date runs over into the next month.
  if (date.getUTCDate() !== day) date.setUTCDate(0);
  return date.getTime();
}
