import { count } from "../config/count.ts";
import type { Metric } from "../metric.ts";
import { reasonDown, type State, stateOf } from "../postgres/host_state.ts";
import { type Log, SUMMARY_PERIOD } from "./log.ts";
import { Outages } from "./outages.ts";

/**
 * Changes that are told one by one in a period: if the checker's own network fails, all hosts go
 * down at once.
 */
const MOST_CHANGES = 50;

/** Metrics on their way to Kafka. */
export interface ProducerProgress {
  readonly delivered: number;
  readonly waiting: number;
}

/**
 * Tells a person of the checks. A host that goes down or comes back is told at once, the figures
 * once a minute.
 */
export class ProducerReport implements Disposable {
  readonly #log: Log;
  readonly #progress: () => ProducerProgress;
  readonly #outages = new Outages();
  readonly #timer: ReturnType<typeof setInterval>;
  #period = new Period();
  #delivered = 0;

  constructor(log: Log, progress: () => ProducerProgress) {
    this.#log = log;
    this.#progress = progress;
    this.#timer = setInterval(() => this.#summarize(), SUMMARY_PERIOD * 1000);
  }

  /** How many hosts are down. */
  get down(): number {
    return this.#outages.count;
  }

  /** A check has ended, or was missed. */
  see(metric: Metric): void {
    const state = stateOf(metric);
    this.#period.count(state, metric);
    if (this.#log.isVerbose) this.#log.debug(describe(metric));
    const change = this.#outages.see(metric);
    if (change === null || ++this.#period.changes > MOST_CHANGES) return;
    const { message, ...fields } = change;
    this.#log.warn(message, fields);
  }

  /** Forgets hosts that are no longer checked. */
  forget(addresses: Iterable<string>): void {
    this.#outages.forget(addresses);
  }

  #summarize(): void {
    const { delivered, waiting } = this.#progress();
    const figures = this.#period.describe();
    const unsaid = this.#period.changes - MOST_CHANGES;
    const more = unsaid > 0 ? `; ${count(unsaid, "more change")} of hosts` : "";
    this.#log.info(
      `last minute: ${figures}; ${count(this.down, "host")} down${more}; ` +
        `${count(delivered - this.#delivered, "metric")} delivered, ${waiting} waiting`,
    );
    this.#delivered = delivered;
    this.#period = new Period();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** The counts since the last summary. */
class Period {
  readonly #states = { up: 0, down: 0, unknown: 0 };
  readonly #reasons = new Map<string, number>();
  changes = 0;

  count(state: State, metric: Metric): void {
    this.#states[state]++;
    if (state !== "down") return;
    const reason = reasonDown({ ...metric, error_detail: null });
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
  }

  describe(): string {
    const { up, down, unknown } = this.#states;
    const reasons = [...this.#reasons].map(([reason, count]) => `${count} ${reason}`).join(", ");
    return `${count(up + down, "check")}, ${up} up, ${down} down${reasons && ` (${reasons})`}` +
      (unknown > 0 ? `, ${unknown} missed` : "");
  }
}

function describe(metric: Metric): string {
  const { address, status_code, latency } = metric;
  const state = stateOf(metric);
  const status = status_code === null ? "" : ` status ${status_code}`;
  return `${address}: ${state}${status} in ${latency.toFixed(3)} s${state === "up" ? "" : ` (${reasonDown(metric)})`}`;
}
