import type { PartitionAnswer } from "./raw_fetch.ts";
import type { RecordBatch } from "./record_batches.ts";

/**
 * A batch of a log, and whether its messages count. Marks of transactions, and aborted messages, do
 * not.
 */
export interface JudgedBatch {
  readonly batch: RecordBatch;
  readonly counts: boolean;
}

/** Some batches of an answer, from its first on, in the order of the log. */
export function* judge(
  { abortedTransactions }: Pick<PartitionAnswer, "abortedTransactions">,
  batches: readonly RecordBatch[],
): Generator<JudgedBatch, void> {
  const aborted = [...abortedTransactions ?? []].sort((a, b) => Number(a.firstOffset - b.firstOffset));
  const open = new Set<bigint>();
  for (const batch of batches) {
    while (aborted[0] !== undefined && aborted[0].firstOffset <= batch.lastOffset) {
      open.add((aborted.shift() as typeof aborted[0]).producerId);
    }
    const { producerId, isControl, isTransactional } = batch;
    if (isControl && endsAborted(batch)) open.delete(producerId);
    yield { batch, counts: !isControl && !(isTransactional && open.has(producerId)) };
  }
}

/**
 * True for a mark that ends an aborted transaction: version and type, two bytes each, with type 0.
 */
function endsAborted(mark: RecordBatch): boolean {
  const key = mark.whole()?.[0]?.key;
  return key?.[2] === 0 && key[3] === 0;
}
