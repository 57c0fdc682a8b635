import type { Batch, PartitionAnswer } from "./log_consumer.ts";

/** Bits of a batch's attributes: Kafka's protocol. */
const TRANSACTIONAL = 16;
const CONTROL = 32;

/** A batch of a log, and whether its messages count: not the marks of transactions, nor what an aborted one wrote. */
export interface JudgedBatch {
  readonly batch: Batch;
  readonly counts: boolean;
}

/** All batches of an answer, in the order of the log. */
export function* judge({ logged, records, abortedTransactions }: PartitionAnswer): Generator<JudgedBatch, void> {
  const aborted = [...abortedTransactions ?? []].sort((a, b) => Number(a.firstOffset - b.firstOffset));
  const open = new Set<bigint>();
  for (const batch of logged ?? records ?? []) {
    while (aborted[0] !== undefined && aborted[0].firstOffset <= lastOffset(batch)) {
      open.add((aborted.shift() as typeof aborted[0]).producerId);
    }
    const isControl = (batch.attributes & CONTROL) !== 0;
    // Version, then type: 0 ends an aborted transaction, 1 a committed one.
    if (isControl && batch.records[0]?.key?.readInt16BE(2) === 0) open.delete(batch.producerId);
    yield { batch, counts: !isControl && !(batch.attributes & TRANSACTIONAL && open.has(batch.producerId)) };
  }
}

/** The offset of the last message that a batch was written with, be it still there or not. */
export function lastOffset(batch: Batch): number {
  return Number(batch.firstOffset) + batch.lastOffsetDelta;
}
