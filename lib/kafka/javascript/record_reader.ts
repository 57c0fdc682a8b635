import { KEPT_BYTES } from "../kafka.ts";

/**
 * A key or value. One longer than `KEPT_BYTES` is cut there, and has its whole length beside it.
 */
export interface Field {
  readonly bytes: Buffer | null;
  readonly length?: number;
}

/**
 * A record of a batch of format 2, without its headers. Offset and time are relative to the first
 * record of the batch.
 */
export interface BatchRecord {
  readonly offsetDelta: number;
  readonly timestampDelta: number;
  readonly key: Field;
  readonly value: Field;
}

/** Bytes that two lengths, an offset and a time take at most. */
const FIELDS = 40;
/** The longest record that is read from one piece of memory. */
const CONTIGUOUS = KEPT_BYTES + 64 * 1024;

const NONE: Field = { bytes: null };
const EMPTY = Buffer.alloc(0);

/**
 * Reads records (Kafka's protocol, "Record Batch") from a content that comes in pieces. It keeps
 * the beginnings of a long key and value, and skips the rest. Throws `RangeError` where the content
 * is damaged or ends early.
 */
export class RecordReader {
  #pieces: AsyncIterator<Buffer, void> | null;
  /** A piece, or `#own`, as far as they are filled. */
  #bytes: Buffer;
  #at = 0;
  /** Memory for a record that begins in one piece and ends in another; used over and over. */
  #own: Buffer = EMPTY;

  /** `begin` is the content, or what there is of it. */
  constructor(begin: Buffer, pieces?: AsyncIterable<Buffer, void>) {
    this.#bytes = begin;
    this.#pieces = pieces?.[Symbol.asyncIterator]() ?? null;
  }

  /** True where the next record is here: `next` gives it. */
  hasNext(): boolean {
    if (this.#here < FIELDS) return false;
    const at = this.#at;
    const length = this.#varint();
    const isHere = length <= this.#here;
    this.#at = at;
    return isHere;
  }

  /** The next record, of which all must be here. `copies`: it is to stay when more pieces come. */
  next(copies = false): BatchRecord {
    const length = this.#varint();
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw early();
    this.#at++; // Attributes, of which there are none yet.
    const timestampDelta = this.#varint();
    const offsetDelta = this.#varint();
    const key = this.#field(end, copies);
    const value = this.#field(end, copies);
    this.#at = end;
    return { offsetDelta, timestampDelta, key, value };
  }

  /** The next record, as much of it as is kept, after waiting for what is not here yet. */
  async nextAsync(): Promise<BatchRecord> {
    await this.#wait(FIELDS);
    const at = this.#at;
    const length = this.#varint();
    if (length < 0) throw early();
    if (length <= CONTIGUOUS) {
      this.#at = at;
      await this.#wait(length + FIELDS);
      return this.next(true);
    }
    const end = { left: length };
    const begin = this.#at++;
    const timestampDelta = this.#varint();
    const offsetDelta = this.#varint();
    end.left -= this.#at - begin;
    const key = await this.#longField(end);
    const value = await this.#longField(end);
    await this.#skip(end.left);
    return { offsetDelta, timestampDelta, key, value };
  }

  /** Ends the pieces. */
  async close(): Promise<void> {
    await this.#pieces?.return?.();
  }

  get #here(): number {
    return this.#bytes.length - this.#at;
  }

  /**
   * Reads a number of 7 bits a byte, the lowest first, with its sign in the lowest bit. Exact up to
   * 2^52.
   */
  #varint(): number {
    const first = this.#bytes[this.#at];
    if (first !== undefined && first < 128) {
      this.#at++;
      return first & 1 ? -(first + 1) / 2 : first / 2;
    }
    let value = 0;
    for (let scale = 1; scale <= 2 ** 63; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw early();
      value += (byte & 127) * scale;
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new RangeError("a number in the batch is too long");
  }

  #field(end: number, copies: boolean): Field {
    const length = this.#varint();
    if (length < 0) return NONE;
    const from = this.#at;
    this.#at += length;
    if (this.#at > end) throw early();
    if (length > KEPT_BYTES) return { bytes: Buffer.from(this.#bytes.subarray(from, from + KEPT_BYTES)), length };
    const bytes = this.#bytes.subarray(from, this.#at);
    return { bytes: copies ? Buffer.from(bytes) : bytes };
  }

  /**
   * The same where the field is not all here. Subtracts its bytes from what is left of the record.
   */
  async #longField(end: { left: number }): Promise<Field> {
    await this.#wait(FIELDS);
    const begin = this.#at;
    const length = this.#varint();
    end.left -= this.#at - begin + Math.max(0, length);
    if (end.left < 0) throw early();
    if (length < 0) return NONE;
    const kept = Math.min(length, KEPT_BYTES);
    await this.#wait(kept);
    if (this.#here < kept) throw early();
    const bytes = Buffer.from(this.#bytes.subarray(this.#at, this.#at + kept));
    this.#at += kept;
    await this.#skip(length - kept);
    return length > kept ? { bytes, length } : { bytes };
  }

  /** Waits until so many bytes are here, or there are no more. */
  async #wait(count: number): Promise<void> {
    while (this.#here < count && this.#pieces !== null) {
      const rest = this.#here;
      // Before the next piece is asked for, which may overwrite this one.
      if (rest > 0) this.#keep(rest);
      const { done, value } = await this.#pieces.next();
      if (done === true) this.#pieces = null;
      else if (rest === 0) [this.#bytes, this.#at] = [value, 0];
      else this.#append(value);
    }
  }

  /** Moves what is left of a piece to the beginning of the own memory. */
  #keep(rest: number): void {
    if (this.#own.length < rest) this.#own = Buffer.allocUnsafe(2 * rest);
    this.#own.set(this.#bytes.subarray(this.#at));
    [this.#bytes, this.#at] = [this.#own.subarray(0, rest), 0];
  }

  #append(piece: Buffer): void {
    const rest = this.#here;
    const size = rest + piece.length;
    if (this.#own.length < size) {
      const larger = Buffer.allocUnsafe(2 * size);
      larger.set(this.#bytes);
      this.#own = larger;
    }
    this.#own.set(piece, rest);
    this.#bytes = this.#own.subarray(0, size);
  }

  async #skip(count: number): Promise<void> {
    let left = count;
    while (left > this.#here) {
      left -= this.#here;
      this.#at = this.#bytes.length;
      await this.#wait(1);
      if (this.#here === 0) throw early();
    }
    this.#at += left;
  }
}

function early(): RangeError {
  return new RangeError("its content ends early");
}
