import { batches } from "../async/batches.ts";
import { delay } from "../async/waits.ts";
import type { Metric } from "../metric.ts";

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
