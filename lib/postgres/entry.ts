import { decodeMetric, type Metric, type Rejection } from "../metric.ts";

/** One message, read as a metric or with the reason why it is none. */
export interface Entry {
  readonly partition: number;
  readonly offset: number;
  /** The epoch of the leader that wrote it. Absent or null: not known. */
  readonly epoch?: number | null;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly content: Metric | Rejection;
}

/** A message whose content is settled. */
export type EntryOf<C> = Entry & { readonly content: C };

/** A message as it came, whole. */
export interface ReceivedMessage extends Omit<Entry, "content"> {
  /** Of the record, in milliseconds since 1970. */
  readonly timestamp: number;
}

/**
 * A message whose content is what `decodeMetric` reads in it. It is read when somebody asks: of
 * most messages only bytes are copied (`PlainRows`).
 */
export class ReceivedEntry implements Entry {
  readonly partition: number;
  readonly offset: number;
  readonly epoch: number | null;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly #timestamp: number;
  #content: Metric | Rejection | null = null;

  constructor({ partition, offset, epoch = null, key, value, timestamp }: ReceivedMessage) {
    this.partition = partition;
    this.offset = offset;
    this.epoch = epoch;
    this.key = key;
    this.value = value;
    this.#timestamp = timestamp;
  }

  get content(): Metric | Rejection {
    return this.#content ??= decodeMetric(this.value, this.#timestamp);
  }
}

/** The same message as no metric, whatever its value holds. */
export function rejected({ partition, offset, epoch, key, value }: Entry, reason: string): EntryOf<Rejection> {
  return { partition, offset, epoch: epoch ?? null, key, value, content: { reason } };
}

/** Bytes of key and value. */
export function bytesOf({ key, value }: Pick<Entry, "key" | "value">): number {
  return (key?.length ?? 0) + (value?.length ?? 0);
}
