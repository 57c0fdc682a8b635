const SECOND = 1000;
const DAY = 86_400;
/** Months of 400 years. After these, dates and weekdays come again in the same order. */
const CYCLE = 4800;

/** The values of a cron expression's fields, sorted; months count from 1. */
export interface ClockFields {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: readonly number[];
  /**
   * Whether a day matches: its day of the month (from 1), its weekday (0: Sunday), the length of
   * its month.
   */
  isDay(day: number, weekday: number, length: number): boolean;
}

/**
 * The times of a clock that is never changed, as milliseconds of UTC. They are found and counted by
 * arithmetic, a month at a time. A machine that slept may have missed millions of them.
 */
export class ClockTimes {
  readonly #fields: ClockFields;
  /** How many matches there are on a day that matches. */
  readonly #daily: number;
  readonly #days = new Map<number, readonly number[]>();

  constructor(fields: ClockFields) {
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
