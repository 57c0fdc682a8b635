import { batches } from "./batches.ts";
import type { Metric } from "./metric.ts";
import type { Queue } from "./queue.ts";

/** Where metrics go. */
export interface Sink extends AsyncDisposable {
  /** Resolves when the other side has all of them. Waits where waiting helps; rejects when `giveUp` aborts. */
  send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<void>;
}

/** What goes in one piece: whatever came while the last piece was on its way, at most so many, or what came within 20 ms. */
const LIMITS = { size: 1000, interval: 0.02 } as const;

/**
 * Sends what comes through `queue`, in order, until it has ended. `onDelivered` is told how many the other side has.
 * Throws what waiting cannot mend, and the last failure where `giveUp` aborts first.
 */
export async function deliver(
  queue: Queue<Metric>,
  sink: Sink,
  onDelivered: (count: number) => void,
  giveUp: AbortSignal,
): Promise<void> {
  for await (const batch of batches(queue, LIMITS)) {
    await sink.send(batch, giveUp);
    onDelivered(batch.length);
  }
}
