import { count } from "./count.ts";
import type { Log } from "./log.ts";

/** Seconds between two summaries. */
const PERIOD = 60;

/** Messages stored so far. */
export interface Stored {
  readonly rows: number;
  readonly rejected: number;
}

/** How many metrics were stored. By its `check_id` the database knows one that comes again, and counts nothing. */
export function describeStored(rows: number): string {
  return `${count(rows, "metric")} stored or known already`;
}

/** Tells a person once a minute what was stored. */
export class ConsumerReport implements Disposable {
  readonly #log: Log;
  readonly #read: () => Stored;
  readonly #timer: ReturnType<typeof setInterval>;
  #last: Stored = { rows: 0, rejected: 0 };

  constructor(log: Log, read: () => Stored) {
    this.#log = log;
    this.#read = read;
    this.#timer = setInterval(() => this.#summarize(), PERIOD * 1000);
  }

  #summarize(): void {
    const { rows, rejected } = this.#read();
    const stored = describeStored(rows - this.#last.rows);
    this.#log.info(`last minute: ${stored}, ${rejected - this.#last.rejected} rejected`);
    this.#last = { rows, rejected };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
