import { ClockTimes } from "./clock_times.ts";
import { readCron } from "./cron_fields.ts";
import type { Stretch, TimeZone } from "./zone.ts";

const DAY = 86_400_000;
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

  /** Takes five or six fields or an alias. Throws a SyntaxError that says what to write instead. */
  constructor(text: string, zone: TimeZone) {
    const fields = readCron(text);
    this.#times = new ClockTimes(fields);
    this.#zone = zone;
    this.#followsClocks = fields.followsClocks;
    if (!this.#times.isEverDue) {
      throw new SyntaxError(`"${text}" is never due: none of its months has such a day`);
    }
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
      const from = stretch.end - after < DAY ? stretch.end : Math.max(stretch.end, due - 2 * DAY);
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
