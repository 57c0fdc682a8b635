/** Why a text is no instant, for a person. */
export const NO_FORM = "is no ISO 8601 time with a zone";
export const NO_TIME = "is no time that exists";
export type InstantProblem = typeof NO_FORM | typeof NO_TIME;

const FORM = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)$/i;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The years that ISO 8601 writes with four digits, and that PostgreSQL reads: it has no year 0. */
const EARLIEST = Date.parse("0001-01-01T00:00:00Z");
const LATEST = Date.parse("9999-12-31T23:59:59.999Z");

/**
 * Reads a time as RFC 3339 writes it, in milliseconds since 1970. Finer fractions are cut off. It
 * also takes forms of ISO 8601 that can mean nothing else. A time may lack its seconds, and its
 * zone the colon or the minutes. 24:00 is the end of a day.
 *
 * It refuses a time that cannot be kept as it is written. Examples are 30 February, a leap second,
 * and a year that has not four digits in UTC. `Date.parse` would take 30 February for 2 March.
 */
export function parseInstant(text: string): number | InstantProblem {
  const match = FORM.exec(text);
  if (match === null) return NO_FORM;
  const [, year, month, day, hour, minute, second = 0, fraction = "", sign, zoneHour = 0, zoneMinute = 0] = match;
  const midnight = startOfDay(Number(year), Number(month), Number(day));
  const sinceMidnight = clock(Number(hour), Number(minute), Number(second), fraction);
  const offset = zone(Number(zoneHour), Number(zoneMinute));
  if (midnight === null || sinceMidnight === null || offset === null) return NO_TIME;
  const time = midnight + sinceMidnight + (sign === "-" ? offset : -offset);
  return isWritable(time) ? time : NO_TIME;
}

/**
 * True where a time (milliseconds since 1970) has a year of four digits in UTC. Every reader
 * understands such a year.
 */
export function isWritable(time: number): boolean {
  return time >= EARLIEST && time <= LATEST;
}

/** Null where the calendar has no such day. */
function startOfDay(year: number, month: number, day: number): number | null {
  // Not `Date.UTC`, which takes the years up to 99 for 1900 and later.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : null;
}

/** Milliseconds since midnight; null where no clock shows that. */
function clock(hour: number, minute: number, second: number, fraction: string): number | null {
  if (minute > 59 || second > 59) return null;
  const time = hour * HOUR + minute * MINUTE + second * 1000 + Number(fraction.slice(0, 3).padEnd(3, "0"));
  const isEndOfDay = time === DAY && !/[1-9]/.test(fraction);
  return time < DAY || isEndOfDay ? time : null;
}

/** Milliseconds; null beyond the hours and minutes of a clock. */
function zone(hour: number, minute: number): number | null {
  return hour > 23 || minute > 59 ? null : hour * HOUR + minute * MINUTE;
}
