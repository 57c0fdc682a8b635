/**
 * A stretch of time in which the clocks of a zone run evenly. Times are milliseconds since 1970,
 * offsets milliseconds.
 */
export interface Stretch {
  /** Its first instant. */
  readonly start: number;
  /** The first instant after it. */
  readonly end: number;
  /** Its clocks show UTC plus this. */
  readonly offset: number;
  /** The offset just before it began. */
  readonly before: number;
}

const SECOND = 1000;
const DAY = 86_400 * SECOND;
/**
 * Changed clocks stay changed for at least this long everywhere (Morocco's Ramadan: about 30 days).
 */
const STEP = 7 * DAY;
/**
 * How far a change is looked for. A stretch without a change is cut there, which makes no
 * difference to its users.
 */
const HORIZON = 400 * DAY;
/** Enough for a clock that was set forward by a century. */
const REMEMBERED = 256;

/**
 * The clocks of a time zone (IANA name), from the runtime's own data. Remembers the stretches that
 * were asked for.
 */
export class TimeZone {
  readonly #format: Intl.DateTimeFormat;
  #known: Stretch[] = [];

  /** Throws a RangeError for a zone that the runtime does not know. */
  constructor(name: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  /** The stretch that an instant lies in. */
  stretchAt(time: number): Stretch {
    const known = this.#known.find(({ start, end }) => start <= time && time < end);
    if (known !== undefined) return known;
    // A count goes from one stretch to the next.
    const before = this.#known.find(({ end }) => end === time);
    const start = before === undefined ? this.#changeBefore(time) : time;
    const stretch = {
      start,
      end: this.#changeAfter(time),
      offset: this.#offsetAt(time),
      before: before?.offset ?? this.#offsetAt(start - SECOND),
    };
    this.#known = [stretch, ...this.#known].slice(0, REMEMBERED);
    return stretch;
  }

  #changeAfter(time: number): number {
    const offset = this.#offsetAt(time);
    for (let at = time; at < time + HORIZON; at += STEP) {
      if (this.#offsetAt(at + STEP) !== offset) return this.#changeBetween(at, at + STEP);
    }
    return time + HORIZON;
  }

  #changeBefore(time: number): number {
    const offset = this.#offsetAt(time);
    for (let at = time; at > time - HORIZON; at -= STEP) {
      if (this.#offsetAt(at - STEP) !== offset) return this.#changeBetween(at - STEP, at);
    }
    return Math.floor((time - HORIZON) / SECOND) * SECOND;
  }

  /** The first whole second whose offset differs from that of `low`; `high` has a different one. */
  #changeBetween(low: number, high: number): number {
    const offset = this.#offsetAt(low);
    let [same, other] = [Math.floor(low / SECOND), Math.floor(high / SECOND)];
    while (other - same > 1) {
      const middle = Math.floor((same + other) / 2);
      if (this.#offsetAt(middle * SECOND) === offset) same = middle;
      else other = middle;
    }
    return other * SECOND;
  }

  #offsetAt(time: number): number {
    const shown = new Map(this.#format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const part = (type: Intl.DateTimeFormatPartTypes) => shown.get(type) ?? 0;
    const wall = Date.UTC(
      part("year"),
      part("month") - 1,
      part("day"),
      part("hour"),
      part("minute"),
      part("second"),
    );
    return wall - Math.floor(time / SECOND) * SECOND;
  }
}
