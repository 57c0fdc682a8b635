import { Queue } from "../async/queue.ts";
import { count } from "../config/count.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { encodeMetric, type Metric } from "../metric.ts";
import type { Figures, Outbox } from "./delivery.ts";
import { Spool, type SpoolEvents } from "./spool.ts";

/** Metrics that wait in memory while Kafka is away, some 50 MB. Beyond them the oldest give way. */
const MOST_IN_MEMORY = 100_000;
/** Bytes of metrics that wait in a spool: some two million. Beyond them the oldest give way. */
const MOST_ON_DISK = 2 ** 30;

/**
 * Opens the outbox that the settings ask for: on disk, or in memory only. Throws as `Spool.open`
 * does.
 */
export async function openOutbox(
  { kafka, spool, mode }: ProducerSettings,
  events: SpoolEvents & { info(text: string): void },
): Promise<Outbox> {
  const mostInMemory = mode === "once" ? Infinity : MOST_IN_MEMORY;
  if (spool === null || kafka === null) return new MemoryOutbox(mostInMemory);
  const outbox = await Spool.open(spool, { topic: kafka.topic, mostInMemory, mostOnDisk: MOST_ON_DISK, events });
  const { waiting } = outbox.figures;
  const wait = waiting === 1 ? "waits" : "wait";
  events.info(`${count(waiting, "metric")} of an earlier run ${wait} in the spool ${spool}`);
  return outbox;
}

/**
 * So many metrics wait as objects, the others as text. A text takes less room (0.5 instead of 0.85
 * KB), and is one object to collect instead of many.
 */
const FEW = 5_000;

/** Keeps metrics in memory only. Metrics that wait when the program ends are lost. */
export class MemoryOutbox implements Outbox {
  readonly #queue: Queue<Metric | string>;
  #made = 0;
  #delivered = 0;
  #refused = 0;

  /** Beyond `limit` waiting metrics, the oldest that is not on its way gives way. */
  constructor(limit: number) {
    this.#queue = new Queue(limit);
  }

  get figures(): Figures {
    const [made, delivered, refused] = [this.#made, this.#delivered, this.#refused];
    const dropped = this.#queue.dropped + refused;
    return { made, delivered, waiting: made - delivered - dropped, kept: 0, dropped, ...refused > 0 && { refused } };
  }

  push(metric: Metric): void {
    this.#made++;
    this.#queue.push(this.#queue.length < FEW ? metric : encodeMetric(metric));
  }

  end(): void {
    this.#queue.end();
  }

  acknowledge(count: number, refused = 0): void {
    this.#delivered += count - refused;
    this.#refused += refused;
  }

  async settle(): Promise<void> {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Metric, void> {
    for await (const value of this.#queue) yield typeof value === "string" ? JSON.parse(value) as Metric : value;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
