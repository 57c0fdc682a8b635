import type { Figures, Outbox } from "../delivery.ts";
import type { Metric } from "../metric.ts";
import { Queue } from "../queue.ts";

/** Keeps metrics in memory only: what waits when the program ends is lost. */
export class MemoryOutbox implements Outbox {
  readonly #queue: Queue<Metric>;
  #made = 0;
  #delivered = 0;

  /** Beyond `limit` waiting metrics the oldest that is not on its way gives way. */
  constructor(limit: number) {
    this.#queue = new Queue(limit);
  }

  get figures(): Figures {
    const [made, delivered, dropped] = [this.#made, this.#delivered, this.#queue.dropped];
    return { made, delivered, waiting: made - delivered - dropped, kept: 0, dropped };
  }

  push(metric: Metric): void {
    this.#made++;
    this.#queue.push(metric);
  }

  end(): void {
    this.#queue.end();
  }

  acknowledge(count: number): void {
    this.#delivered += count;
  }

  async settle(): Promise<void> {}

  [Symbol.asyncIterator](): AsyncIterator<Metric, void> {
    return this.#queue[Symbol.asyncIterator]();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
