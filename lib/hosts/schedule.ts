import type { Stretch, TimeZone } from "./zone.ts";

/**
 * How often a host is due: after each interval in milliseconds, or at the times of a cron
 * expression. `text` is the FREQUENCY as written.
 */
export type Frequency =
  | { readonly kind: "interval"; readonly text: string; readonly interval: number }
  | { readonly kind: "cron"; readonly text: string; readonly cron: Cron };

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

const SECOND = 1000;
/** Seconds. */
const DAY = 86_400;

/** The content of a cron expression: the values of its fields, sorted; months count from 1. */
export interface CronFields {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: readonly number[];
  /**
   * Whether a day matches: its day of the month (from 1), its weekday (0: Sunday), the length of
   * its month.
   */
  isDay(day: number, weekday: number, length: number): boolean;
  /** True where its second, minute or hour has `*`. */
  readonly followsClocks: boolean;
}

/**
 * As many answers as the due times of one host that are asked for in a row. So hosts that share a
 * cron expression share the answers.
 */
const REMEMBERED = 4;

/**
 * A cron expression in a time zone. When the clocks change, it follows the rule of cron(8) in
 * Debian.
 *
 * With `*` in its minute, hour or second field it follows the clocks, and goes on through a
 * repeated hour. Any other expression names times of day, each of which comes once. In a repeated
 * hour it comes the first time. In a skipped hour it comes as much later as the clocks jump (02:30
 * becomes 03:30).
 */
export class Cron {
  readonly #times: ClockTimes;
  readonly #zone: TimeZone;
  readonly #followsClocks: boolean;
  #recent: { readonly after: number; readonly due: number }[] = [];
  #advanced = { first: NaN, steps: 0, due: NaN };

  constructor(fields: CronFields, zone: TimeZone) {
    this.#times = new ClockTimes(fields);
    this.#zone = zone;
    this.#followsClocks = fields.followsClocks;
  }

  /** False where none of its months ever has such a day. */
  get isEverDue(): boolean {
    return this.#times.isEverDue;
  }

  /** The first due time after `after`; both are milliseconds since 1970. */
  next(after: number): number {
    const known = this.#recent.find((answer) => answer.after <= after && after < answer.due);
    if (known !== undefined) return known.due;
    const due = this.#search(after);
    this.#recent = [{ after, due }, ...this.#recent].slice(0, REMEMBERED);
    return due;
  }

  /**
   * The due time that comes `steps` due times after `first`, which is a due time. Many hosts that
   * share a cron expression ask for the same.
   */
  advance(first: number, steps: number): number {
    const known = this.#advanced;
    if (known.first === first && known.steps === steps) return known.due;
    let due = first;
    for (let step = 0; step < steps; step++) due = this.#search(due);
    this.#advanced = { first, steps, due };
    return due;
  }

  /** How many due times there are after `after`, up to and including `last`. */
  count(after: number, last: number): number {
    let count = 0;
    while (after < last) {
      const stretch = this.#zone.stretchAt(after + 1);
      const until = Math.min(last, stretch.end - 1);
      count += this.#countIn(stretch, after, until);
      after = until;
    }
    return count;
  }

  #search(after: number): number {
    let stretch = this.#zone.stretchAt(after);
    while (true) {
      const due = this.#nextIn(stretch, after);
      if (due < stretch.end) return due;
      // A yearly expression need not look at every stretch until then: a stretch that ends days
      // before it holds nothing. The exception is a clock that goes back within the day. It may
      // show once more what it showed before `after`.
      const from = stretch.end - after < DAY * SECOND ? stretch.end : Math.max(stretch.end, due - 2 * DAY * SECOND);
      stretch = this.#zone.stretchAt(from);
      after = from - 1;
    }
  }

  /**
   * The first due time after `after` that the clocks of this stretch show. It may lie beyond the
   * stretch.
   */
  #nextIn(stretch: Stretch, after: number): number {
    const { start, offset, before } = stretch;
    const late = Math.max(after, start - 1);
    const regular = this.#times.next(this.#firstShown(stretch, late)) - offset;
    if (this.#followsClocks || before >= offset) return regular;
    // The clocks went forward: times between `start + before` and `start + offset` were skipped,
    // and are made up for.
    const made = this.#times.next(late + before);
    return made < start + offset ? Math.min(made - before, regular) : regular;
  }

  /**
   * How many due times there are after `after`, up to and including `last`. Both lie in this
   * stretch, or `after` just before it.
   */
  #countIn(stretch: Stretch, after: number, last: number): number {
    const { start, offset, before } = stretch;
    let count = this.#times.count(this.#firstShown(stretch, after), last + offset);
    if (this.#followsClocks || before >= offset) return count;
    const end = Math.min(last + before, start + offset - 1);
    for (let made = this.#times.next(after + before); made <= end; made = this.#times.next(made)) {
      // Not where it coincides with one of the clock's own times.
      const shown = made - before + offset;
      if (this.#times.next(shown - 1) !== shown) count++;
    }
    return count;
  }

  /**
   * What the clocks show at `late`. Where they went back and have shown that already, the last time
   * that they showed then.
   */
  #firstShown({ start, offset, before }: Stretch, late: number): number {
    if (this.#followsClocks || before <= offset) return late + offset;
    return Math.max(late + offset, start + before - 1);
  }
}

/** Months of 400 years. After these, dates and weekdays come again in the same order. */
const CYCLE = 4800;

/**
 * The times of a clock that is never changed, as milliseconds of UTC. They are found and counted by
 * arithmetic, a month at a time. A machine that slept may have missed millions of them.
 */
class ClockTimes {
  readonly #fields: CronFields;
  /** How many matches there are on a day that matches. */
  readonly #daily: number;
  readonly #days = new Map<number, readonly number[]>();

  constructor(fields: CronFields) {
    this.#fields = fields;
    this.#daily = fields.hours.length * fields.minutes.length * fields.seconds.length;
  }

  /** False where no month ever has such a day. */
  get isEverDue(): boolean {
    return this.#fields.months.some((month) =>
      lengthsOf(month).some((length) => WEEKDAYS.some((weekday) => this.#daysOf(month, length, weekday).length > 0))
    );
  }

  /** The first time after `wall`; Infinity where there is none. */
  next(wall: number): number {
    const second = Math.floor(wall / SECOND) + 1;
    const day = Math.floor(second / DAY);
    const { hours, minutes, seconds } = this.#fields;
    if (this.#isDay(day)) {
      const later = this.#timeFrom(second - day * DAY);
      if (later !== undefined) return (day * DAY + later) * SECOND;
    }
    const first = ((hours[0] as number) * 60 + (minutes[0] as number)) * 60 + (seconds[0] as number);
    return (this.#dayAfter(day) * DAY + first) * SECOND;
  }

  /** How many times there are after `from`, up to and including `to`. */
  count(from: number, to: number): number {
    if (to <= from) return 0;
    const [begin, end] = [Math.floor(from / SECOND), Math.floor(to / SECOND)];
    const [first, last] = [Math.floor(begin / DAY), Math.floor(end / DAY)];
    const before = this.#isDay(first) ? this.#timesUpTo(begin - first * DAY) : 0;
    const within = this.#isDay(last) ? this.#timesUpTo(end - last * DAY) : 0;
    return this.#countDays(first, last) * this.#daily - before + within;
  }

  /** How many days match, from day number `first` to the one before `last`. */
  #countDays(first: number, last: number): number {
    let count = 0;
    for (let month = Month.of(first); month.start < last; month = month.next) {
      const [from, to] = [first - month.start + 1, last - month.start + 1];
      const days = this.#in(month);
      count += from <= 1 && to > month.length ? days.length : days.filter((day) => day >= from && day < to).length;
    }
    return count;
  }

  #isDay(day: number): boolean {
    const month = Month.of(day);
    return this.#in(month).includes(day - month.start + 1);
  }

  #dayAfter(day: number): number {
    let month = Month.of(day + 1);
    for (let count = 0; count <= CYCLE; count++, month = month.next) {
      const { start } = month;
      const found = this.#in(month).find((each) => start + each - 1 > day);
      if (found !== undefined) return start + found - 1;
    }
    return Infinity;
  }

  #in({ number, length, weekday }: Month): readonly number[] {
    return this.#daysOf(number, length, weekday);
  }

  /** The days of a month that match; `weekday` is that of its first day. */
  #daysOf(month: number, length: number, weekday: number): readonly number[] {
    if (!this.#fields.months.includes(month)) return NONE;
    const key = length * 7 + weekday;
    let days = this.#days.get(key);
    if (days === undefined) {
      days = Array.from({ length }, (_, index) => index + 1)
        .filter((day) => this.#fields.isDay(day, (weekday + day - 1) % 7, length));
      this.#days.set(key, days);
    }
    return days;
  }

  /** The first second of a day that matches, from `second` on. */
  #timeFrom(second: number): number | undefined {
    const { hours, minutes, seconds } = this.#fields;
    const hour = Math.floor(second / 3600);
    const minute = Math.floor(second / 60) % 60;
    const laterSecond = seconds.find((each) => each >= second % 60);
    const isThisHour = hours.includes(hour);
    if (isThisHour && laterSecond !== undefined && minutes.includes(minute)) {
      return (hour * 60 + minute) * 60 + laterSecond;
    }
    const laterMinute = minutes.find((each) => each > minute);
    const firstSecond = seconds[0] as number;
    if (isThisHour && laterMinute !== undefined) return (hour * 60 + laterMinute) * 60 + firstSecond;
    const laterHour = hours.find((each) => each > hour);
    return laterHour === undefined ? undefined : (laterHour * 60 + (minutes[0] as number)) * 60 + firstSecond;
  }

  /** How many matches a day that matches has up to and including its second `second`. */
  #timesUpTo(second: number): number {
    const { hours, minutes, seconds } = this.#fields;
    const hour = Math.floor(second / 3600);
    const minute = Math.floor(second / 60) % 60;
    const hourly = minutes.length * seconds.length;
    let count = below(hours, hour) * hourly;
    if (!hours.includes(hour)) return count;
    count += below(minutes, minute) * seconds.length;
    return minutes.includes(minute) ? count + below(seconds, second % 60 + 1) : count;
  }
}

const NONE: readonly number[] = [];
const WEEKDAYS = [0, 1, 2, 3, 4, 5, 6] as const;

/** The numbers of days that a month may have. */
function lengthsOf(month: number): readonly number[] {
  if (month === 2) return [28, 29];
  return [[4, 6, 9, 11].includes(month) ? 30 : 31];
}

/** How many of some sorted numbers are less than `limit`. */
function below(numbers: readonly number[], limit: number): number {
  const index = numbers.findIndex((number) => number >= limit);
  return index < 0 ? numbers.length : index;
}

/** A month of the Gregorian calendar. Days are numbered from 1970-01-01, which is 0. */
class Month {
  readonly #index: number;
  /** The number of its first day. */
  readonly start: number;
  readonly length: number;

  constructor(index: number, start: number) {
    this.#index = index;
    this.start = start;
    this.length = startOf(index + 1) - start;
  }

  static of(day: number): Month {
    const date = new Date(day * DAY * SECOND);
    const index = date.getUTCFullYear() * 12 + date.getUTCMonth();
    return new Month(index, day - date.getUTCDate() + 1);
  }

  /** From 1 to 12. */
  get number(): number {
    return this.#index % 12 + 1;
  }

  /** The weekday of its first day, 0 for Sunday. 1970-01-01 was a Thursday. */
  get weekday(): number {
    return ((this.start + 4) % 7 + 7) % 7;
  }

  get next(): Month {
    return new Month(this.#index + 1, this.start + this.length);
  }
}

/** The day number of a month's first day. Months are counted from January of the year 0. */
function startOf(index: number): number {
  return Date.UTC(Math.floor(index / 12), index % 12) / (DAY * SECOND);
}
