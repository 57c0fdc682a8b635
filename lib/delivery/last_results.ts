import type { IncomingMessage } from "../kafka/kafka.ts";
import { decodeMetric, isRejection } from "../metric.ts";

/**
 * The newest due time of each address that has a result among these messages, in milliseconds since
 * 1970. Results of other places do not count, nor those of a host that was removed since.
 */
export class LastResults {
  readonly #location: string | null;
  readonly #newest = new Map<string, { readonly due: number; readonly isRemoved: boolean }>();

  constructor(location: string | null) {
    this.#location = location;
  }

  note(messages: readonly IncomingMessage[]): void {
    for (const { value, timestamp } of messages) {
      const metric = decodeMetric(value, timestamp);
      if (isRejection(metric) || metric.location !== this.#location || metric.scheduled_at === null) continue;
      const { address, error } = metric;
      const due = Date.parse(metric.scheduled_at);
      // Spooled metrics come late: the newest need not be the last.
      if (due >= (this.#newest.get(address)?.due ?? -Infinity)) {
        this.#newest.set(address, { due, isRemoved: error === "removed" });
      }
    }
  }

  /** Undefined where nothing is known. */
  lastDue(address: string): number | undefined {
    const found = this.#newest.get(address);
    return found === undefined || found.isRemoved ? undefined : found.due;
  }
}
