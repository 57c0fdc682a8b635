import { checksum } from "./checksum.ts";
import { type IncomingMessage, KEPT_BYTES } from "../kafka.ts";
import { type BatchRecord, RecordReader } from "./record_reader.ts";
import { unpack, unpackWhole } from "./unpack.ts";

/** Bits of a batch's attributes: Kafka's protocol. */
const COMPRESSION = 7;
const LOG_APPEND_TIME = 8;
const TRANSACTIONAL = 16;
const CONTROL = 32;

/**
 * Where the fields of a batch of format 2 lie; those before the length are the same in every
 * format.
 */
const LENGTH_AT = 8;
const LENGTH_COUNTS_FROM = 12;
const EPOCH_AT = 12;
const FORMAT_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_DELTA_AT = 23;
const FIRST_TIME_AT = 27;
const LAST_TIME_AT = 35;
const PRODUCER_AT = 43;
const COUNT_AT = 57;
const HEADER = 61;
const FORMAT = 2;

/** A batch that unpacks to at most this is unpacked in one go, which costs the least. */
const WHOLE = 4 * 1024 * 1024;
/** A batch is read up to here. The messages behind it are rejected together, not lost silently. */
const MOST_UNPACKED = 8 * 1024 ** 3;
/** The most messages, and bytes of them, that are given at once. */
const MOST_MESSAGES = 1000;
const MOST_BYTES = KEPT_BYTES;

/** A message of a batch. */
export type BatchMessage = Omit<IncomingMessage, "partition">;

/**
 * One batch of messages as it lies in a log. Its header is read at once, its messages are unpacked
 * when somebody asks. One message without a value, `unreadable`, stands at the batch's last offset
 * for all that cannot be read.
 */
export class RecordBatch {
  readonly firstOffset: number;
  readonly lastOffset: number;
  /** Of the leader that wrote it; null where that cannot be known. */
  readonly leaderEpoch: number | null;
  readonly producerId: bigint;
  readonly isTransactional: boolean;
  /** True for the mark that ends a transaction: nobody's message. */
  readonly isControl: boolean;
  /** False where its checksum is not that of its bytes. */
  readonly isIntact: boolean;
  readonly #bytes: Buffer;
  readonly #attributes: number;
  /** True where one time holds for all its messages. */
  readonly #isLogged: boolean;
  readonly #time: number;

  /**
   * `bytes`: this batch and nothing else. `next`: the first offset of the batch behind it, or the
   * log's end. A damaged batch may tell a wrong last offset: it is then taken to end before `next`.
   */
  constructor(bytes: Buffer, next: number) {
    this.#bytes = bytes;
    const isKnown = this.#format === FORMAT;
    this.firstOffset = Number(bytes.readBigInt64BE(0));
    this.#attributes = isKnown ? bytes.readInt16BE(ATTRIBUTES_AT) : 0;
    this.producerId = isKnown ? bytes.readBigInt64BE(PRODUCER_AT) : -1n;
    this.isIntact = !isKnown || checksum(bytes.subarray(ATTRIBUTES_AT)) === bytes.readUInt32BE(CRC_AT);
    // The checksum does not cover the epoch, but a batch that is damaged elsewhere may be damaged
    // here.
    const epoch = isKnown && this.isIntact ? bytes.readInt32BE(EPOCH_AT) : -1;
    this.leaderEpoch = epoch < 0 ? null : epoch;
    this.isTransactional = this.isIntact && (this.#attributes & TRANSACTIONAL) !== 0;
    this.isControl = this.isIntact && (this.#attributes & CONTROL) !== 0;
    this.#isLogged = (this.#attributes & LOG_APPEND_TIME) !== 0;
    this.#time = isKnown ? Number(bytes.readBigInt64BE(this.#isLogged ? LAST_TIME_AT : FIRST_TIME_AT)) : 0;
    const last = this.firstOffset + (isKnown ? bytes.readInt32BE(LAST_DELTA_AT) : 0);
    // A damaged batch may say anything.
    this.lastOffset = this.isIntact ? last : Math.max(this.firstOffset, Math.min(last, next - 1));
  }

  /**
   * All of its messages where it is small, or cannot be read at all; null where it must be read bit
   * by bit.
   */
  whole(): BatchMessage[] | null {
    const problem = this.#problem;
    // An old format tells only the last offset of several messages.
    if (problem !== null) return [this.#unreadable(this.#format < FORMAT ? 0 : this.firstOffset, problem)];
    const messages: BatchMessage[] = [];
    try {
      const content = unpackWhole(this.#codec, this.#bytes.subarray(HEADER), WHOLE);
      if (content === null || content.length > WHOLE) return null;
      const reader = new RecordReader(content);
      for (let left = this.#count; left > 0; left--) messages.push(this.#message(reader.next(), messages.at(-1)));
      return compact(messages, content.length);
    } catch (error) {
      return [...messages, ...this.#missing(messages.at(-1), error)];
    }
  }

  /** Its messages, some at a time, whatever it unpacks to. Ends early where `signal` aborts. */
  async *stream(signal: AbortSignal): AsyncGenerator<readonly BatchMessage[], void> {
    let last: BatchMessage | undefined;
    let messages: BatchMessage[] = [];
    let bytes = 0;
    const reader = new RecordReader(Buffer.alloc(0), this.#pieces(signal));
    try {
      for (let left = this.#count; left > 0 && !signal.aborted; left--) {
        last = this.#message(reader.hasNext() ? reader.next(true) : await reader.nextAsync(), last);
        messages.push(last);
        bytes += bytesInMemory(last);
        if (messages.length < MOST_MESSAGES && bytes < MOST_BYTES) continue;
        yield messages;
        messages = [];
        bytes = 0;
      }
    } catch (error) {
      messages.push(...this.#missing(last, error));
    } finally {
      await reader.close();
    }
    if (messages.length > 0 && !signal.aborted) yield messages;
  }

  async *#pieces(signal: AbortSignal): AsyncGenerator<Buffer, void> {
    let size = 0;
    for await (const piece of unpack(this.#codec, this.#bytes.subarray(HEADER))) {
      if (signal.aborted) return;
      size += piece.length;
      if (size > MOST_UNPACKED) throw new RangeError(`the batch unpacks to more than ${MOST_UNPACKED} bytes`);
      yield piece;
    }
  }

  get #format(): number {
    return this.#bytes.readInt8(FORMAT_AT);
  }

  get #codec(): number {
    return this.#attributes & COMPRESSION;
  }

  get #count(): number {
    return this.#bytes.readInt32BE(COUNT_AT);
  }

  /** Why nothing of it can be read. */
  get #problem(): RangeError | null {
    if (this.#format !== FORMAT) {
      return new RangeError(
        `it is in format ${this.#format} of Kafka's messages; only ${FORMAT}, of Kafka 0.11, is read`,
      );
    }
    if (!this.isIntact) return new RangeError("its checksum is wrong");
    return this.#count < 0 ? new RangeError(`it says that it has ${this.#count} messages`) : null;
  }

  #message({ offsetDelta, timestampDelta, key, value }: BatchRecord, last?: BatchMessage): BatchMessage {
    const offset = this.firstOffset + offsetDelta;
    if (offset > this.lastOffset || offset <= (last?.offset ?? this.firstOffset - 1)) {
      throw new RangeError("the offsets of its messages are out of order");
    }
    const timestamp = this.#isLogged ? this.#time : this.#time + timestampDelta;
    const message = { offset, timestamp, key: key.bytes, value: value.bytes };
    if (key.length === undefined && value.length === undefined) return message;
    return {
      ...message,
      ...key.length !== undefined && { keyLength: key.length },
      ...value.length !== undefined && { valueLength: value.length },
    };
  }

  /** The message that stands for those behind `last`; none where that is the batch's last. */
  #missing(last: BatchMessage | undefined, error: unknown): BatchMessage[] {
    const first = (last?.offset ?? this.firstOffset - 1) + 1;
    return first > this.lastOffset ? [] : [this.#unreadable(first, error)];
  }

  #unreadable(first: number, error: unknown): BatchMessage {
    const why = error instanceof Error ? error.message : String(error);
    return { offset: this.lastOffset, timestamp: 0, key: null, value: null, unreadable: { first, why } };
  }
}

/**
 * The batches in a piece of a log, as a broker gives it: one that is cut off at its end is left
 * out. `logEnd`: the offset that the next message written will get. Throws `RangeError` where
 * nobody can tell where a batch ends.
 */
export function readBatches(bytes: Buffer, logEnd: number): RecordBatch[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at + LENGTH_COUNTS_FROM <= bytes.length;) {
    const length = bytes.readInt32BE(at + LENGTH_AT);
    const end = at + LENGTH_COUNTS_FROM + length;
    if (end > bytes.length) break;
    const batch = bytes.subarray(at, end);
    if (length < 0 || batch.length <= FORMAT_AT || batch[FORMAT_AT] === FORMAT && batch.length < HEADER) {
      throw new RangeError(`the batch at offset ${bytes.readBigInt64BE(at)} is damaged: it has ${length} bytes`);
    }
    pieces.push(batch);
    at = end;
  }
  return pieces.map((batch, i) => {
    const following = pieces[i + 1]?.readBigInt64BE(0);
    return new RecordBatch(batch, following === undefined ? logEnd : Number(following));
  });
}

/** Bytes of one message's key and value, as far as they stay in memory. */
export function bytesInMemory({ key, value }: Pick<IncomingMessage, "key" | "value">): number {
  return (key?.length ?? 0) + (value?.length ?? 0);
}

/** Copies messages that are a small part of the content: views would keep all of it in memory. */
function compact(messages: BatchMessage[], size: number): BatchMessage[] {
  const kept = messages.reduce((sum, message) => sum + bytesInMemory(message), 0);
  if (2 * kept >= size) return messages;
  return messages.map(({ key, value, ...rest }) => {
    return { ...rest, key: key && Buffer.from(key), value: value && Buffer.from(value) };
  });
}
