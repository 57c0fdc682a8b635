import { count } from "../config/count.ts";
import { type Log, SUMMARY_PERIOD } from "./log.ts";

/** Messages stored so far. */
export interface Stored {
  readonly rows: number;
  readonly rejected: number;
}

/**
 * The number of stored metrics, in words. The database leaves out a repeated metric by its
 * `check_id`, and does not count it.
 */
export function describeStored(rows: number): string {
  return `${count(rows, "metric")} stored or known already`;
}

/** Characters of a reason in the log. The rejected table has the whole reason. */
const MAX_REASON_LENGTH = 300;

/** Messages that were rejected since the log last said so. */
interface Rejections {
  readonly count: number;
  /** Why the first one was rejected. */
  readonly reason: string;
  /** The rejected table. */
  readonly table: string;
}

/** Tells a person once a minute how much was stored. The first rejection is told at once. */
export class ConsumerReport implements Disposable {
  readonly #log: Log;
  readonly #read: () => Stored;
  readonly #timer: ReturnType<typeof setInterval>;
  #last: Stored = { rows: 0, rejected: 0 };
  #unsaid: Rejections | null = null;
  /** True if rejections were told less than a period ago. */
  #wasSaid = false;

  constructor(log: Log, read: () => Stored) {
    this.#log = log;
    this.#read = read;
    this.#timer = setInterval(() => this.#summarize(), SUMMARY_PERIOD * 1000);
  }

  /** Messages were rejected, the first of them for this reason. */
  rejected(count: number, reason: string, table: string): void {
    this.#unsaid = { count: (this.#unsaid?.count ?? 0) + count, reason: this.#unsaid?.reason ?? reason, table };
    if (!this.#wasSaid) this.#sayRejected();
  }

  #sayRejected(): void {
    this.#wasSaid = this.#unsaid !== null;
    if (this.#unsaid === null) return;
    const { count: number, reason, table } = this.#unsaid;
    const line = reason.replaceAll(/\s+/g, " ");
    const short = line.length <= MAX_REASON_LENGTH ? line : `${line.slice(0, MAX_REASON_LENGTH).toWellFormed()}…`;
    const why = number === 1 ? short : `the first because: ${short}`;
    this.#log.warn(`${count(number, "message")} rejected, ${why}; see ${table}`);
    this.#unsaid = null;
  }

  #summarize(): void {
    const { rows, rejected } = this.#read();
    const stored = describeStored(rows - this.#last.rows);
    this.#log.info(`last minute: ${stored}, ${rejected - this.#last.rejected} rejected`);
    this.#last = { rows, rejected };
    this.#sayRejected();
  }

  [Symbol.dispose](): void {
    this.#sayRejected();
    clearInterval(this.#timer);
  }
}
