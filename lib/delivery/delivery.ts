import { batches } from "../async/batches.ts";
import { delay } from "../async/waits.ts";
import type { Metric } from "../metric.ts";

/** Where metrics go. */
export interface Sink extends AsyncDisposable {
  /**
   * Resolves when the other side has all of them but those that it never takes: how many these are.
   * Waits where waiting helps; rejects when `giveUp` aborts.
   */
  send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<number>;
}

/**
 * Where metrics wait until the sink has them. Reading gives them in order, each once; it ends after
 * `end`, when none is left.
 */
export interface Outbox extends AsyncIterable<Metric>, AsyncDisposable {
  readonly figures: Figures;
  push(metric: Metric): void;
  /** No more metrics will be pushed. */
  end(): void;
  /**
   * The sink has the first `count` of those that were read and not yet acknowledged, but for
   * `refused` of them that it never takes.
   */
  acknowledge(count: number, refused?: number): void;
  /**
   * Puts what waits where the next start finds it, where that is possible at all; nothing is read
   * or pushed any more.
   */
  settle(): Promise<void>;
}

/** How it stands with the metrics of an outbox. `made`, `delivered` and `dropped` count since the start. */
export interface Figures {
  readonly made: number;
  /** The sink has them; those that waited from an earlier run are among them. */
  readonly delivered: number;
  /** Neither delivered nor dropped. */
  readonly waiting: number;
  /** Those of the waiting that are on disk: the next start sends them. */
  readonly kept: number;
  /** Gave way to newer ones, the oldest first; or were refused, or could not be read any more. */
  readonly dropped: number;
  /** Those of the dropped that the sink does not take; absent: none. */
  readonly refused?: number;
  /** Those of the dropped that could not be read any more: each was told of when it was found. */
  readonly unreadable?: number;
}

/**
 * What goes in one piece: whatever came while the last piece was on its way, at most so many, or
 * what came within 20 ms.
 */
const LIMITS = { size: 1000, interval: 0.02 } as const;

/**
 * Sends what comes through `outbox`, in order, until it has ended, and acknowledges what the sink has.
 * Throws what waiting cannot mend, and the last failure where `giveUp` aborts first.
 */
export async function deliver(outbox: Outbox, sink: Sink, giveUp: AbortSignal): Promise<void> {
  for await (const batch of batches(outbox, LIMITS)) {
    const refused = await sink.send(batch, giveUp);
    outbox.acknowledge(batch.length, refused);
  }
}

/** Milliseconds in which something is delivered where Kafka is there. */
const IDLE = 500;

/**
 * Waits until `stop` has aborted, all that waits is on disk, and nothing is being delivered:
 * whoever leaves then loses nothing. Rejects when `signal` aborts.
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
