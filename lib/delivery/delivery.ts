import { batches } from "../async/batches.ts";
import { Queue } from "../async/queue.ts";
import { delay } from "../async/waits.ts";
import { printableJson } from "../config/terminal.ts";
import { encodeMetric, type Metric } from "../metric.ts";

/** The destination of metrics. */
export interface Sink extends AsyncDisposable {
  /**
   * Resolves when the other side has all metrics but those that it never takes. Gives the number of
   * these. Waits as long as waiting helps. Rejects when `giveUp` aborts.
   */
  send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<number>;
}

/**
 * Holds metrics until the sink has them. Reading gives them in order, each once. After `end` it
 * ends when none is left.
 */
export interface Outbox extends AsyncIterable<Metric>, AsyncDisposable {
  readonly figures: Figures;
  push(metric: Metric): void;
  /** No more metrics will be pushed. */
  end(): void;
  /**
   * The sink is done with the first `count` of the metrics that were read and not yet acknowledged.
   * It never takes `refused` of them.
   */
  acknowledge(count: number, refused?: number): void;
  /**
   * Keeps the waiting metrics for the next start, if that is possible at all. Nothing is read or
   * pushed any more.
   */
  settle(): Promise<void>;
}

/**
 * The state of the metrics in an outbox. `made`, `delivered` and `dropped` count since the start.
 */
export interface Figures {
  readonly made: number;
  /** Metrics that the sink has. Metrics of an earlier run count too. */
  readonly delivered: number;
  /** Neither delivered nor dropped. */
  readonly waiting: number;
  /** Waiting metrics that are on disk: the next start sends them. */
  readonly kept: number;
  /**
   * Metrics that gave way to newer ones, the oldest first. Refused and unreadable ones count too.
   */
  readonly dropped: number;
  /** Dropped metrics that the sink does not take; absent: none. */
  readonly refused?: number;
  /** Dropped metrics that could not be read any more. Each was told of when it was found. */
  readonly unreadable?: number;
}

/**
 * The limits of one piece: it holds the metrics that came while the last piece was on its way, or
 * within 20 ms. It never holds more than `size`.
 */
const LIMITS = { size: 1000, interval: 0.02 } as const;

/**
 * Sends the metrics of `outbox`, in order, until it has ended, and acknowledges those that the sink
 * has. Throws a failure that waiting cannot mend. Throws the last failure if `giveUp` aborts first.
 */
export async function deliver(outbox: Outbox, sink: Sink, giveUp: AbortSignal): Promise<void> {
  for await (const batch of batches(outbox, LIMITS)) {
    const refused = await sink.send(batch, giveUp);
    outbox.acknowledge(batch.length, refused);
  }
}

/** Milliseconds in which something is delivered if Kafka is there. */
const IDLE = 500;

/**
 * Waits until `stop` has aborted, all waiting metrics are on disk, and none is being delivered. A
 * program that ends then loses nothing. Rejects when `signal` aborts.
 */
export async function untilKept(outbox: Outbox, stop: AbortSignal, signal: AbortSignal): Promise<void> {
  for (let before = -1;;) {
    const { waiting, kept, delivered } = outbox.figures;
    if (stop.aborted && waiting === kept && delivered === before) return;
    before = delivered;
    await delay(IDLE, signal);
    signal.throwIfAborted();
  }
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

/** Writes metrics as JSON documents, one a line. */
export class LineSink implements Sink {
  readonly #print: (text: string) => Promise<void>;

  /** `print` resolves when the text is written. It rejects if nobody reads any more. */
  constructor(print: (text: string) => Promise<void>) {
    this.#print = print;
  }

  async send(metrics: readonly Metric[]): Promise<number> {
    await this.#print(metrics.map((metric) => `${printableJson(encodeMetric(metric))}\n`).join(""));
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
