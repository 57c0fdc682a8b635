import { copy, repeat } from "./lz4.ts";

/**
 * How snappy-java begins: blocks follow, each with its length. Java's clients write so, others
 * write one bare block.
 */
const JAVA_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const JAVA_HEADER = 16;
/** How far back a copy may lie; compressors look back 64 KiB. */
const REACH = 1024 * 1024;
const PIECE = 1024 * 1024;

/**
 * The content of snappy data (google/snappy's format_description.txt), at most about 1 MiB at a
 * time. Each piece is good until the next is asked for. Throws `RangeError` where the data is
 * damaged, or refers back further than 1 MiB.
 */
export function* unpackSnappy(packed: Buffer): Generator<Buffer> {
  let window = Buffer.alloc(0);
  for (const block of blocksOf(packed)) {
    const size = Math.min(readLength(block).value, REACH + PIECE);
    // One for all blocks: the collector would be late with one for each.
    if (window.length < size) window = Buffer.allocUnsafe(size);
    yield* unpackBlock(block, window);
  }
}

function* blocksOf(packed: Buffer): Generator<Buffer> {
  if (!isJava(packed)) return yield packed;
  for (let at = JAVA_HEADER; at < packed.length;) {
    const length = packed.readUInt32BE(at);
    at += 4;
    if (at + length > packed.length) throw new RangeError("a snappy block ends early");
    yield packed.subarray(at, at + length);
    at += length;
  }
}

/** The bytes that it says it unpacks to. */
export function mostSnappy(packed: Buffer): number {
  if (!isJava(packed)) return readLength(packed).value;
  let sum = 0;
  for (let at = JAVA_HEADER; at < packed.length; at += 4 + packed.readUInt32BE(at)) {
    sum += readLength(packed.subarray(at + 4)).value;
  }
  return sum;
}

function isJava(packed: Buffer): boolean {
  return packed.subarray(0, JAVA_MAGIC.length).equals(JAVA_MAGIC);
}

function* unpackBlock(packed: Buffer, window: Buffer): Generator<Buffer> {
  const { value: total, next } = readLength(packed);
  let out = 0;
  let given = 0;
  let done = 0;
  for (let at = next; at < packed.length;) {
    const tag = packed[at++] as number;
    const kind = tag & 3;
    // Literals by their length, copies by how many bytes their distance has.
    const more = kind === 0 ? Math.max(0, (tag >> 2) - 59) : [0, 1, 2, 4][kind] as number;
    if (at + more > packed.length) throw damaged();
    const operand = more === 0 ? 0 : packed.readUIntLE(at, more);
    at += more;
    let length = kind === 0
      ? (more === 0 ? tag >> 2 : operand) + 1
      : kind === 1
      ? ((tag >> 2) & 7) + 4
      : (tag >> 2) + 1;
    const distance = kind === 1 ? (tag >> 5) << 8 | operand : operand;
    done += length;
    if (done > total || kind === 0 && at + length > packed.length) throw damaged();
    while (length > 0) {
      if (out === window.length) {
        yield window.subarray(given, out);
        window.copyWithin(0, out - REACH, out);
        given = out = REACH;
      }
      const count = Math.min(length, window.length - out);
      if (kind === 0) {
        copy(packed, at, window, out, count);
        at += count;
      } else {
        if (distance === 0 || distance > out) throw damaged();
        repeat(window, out, distance, count);
      }
      out += count;
      length -= count;
    }
  }
  if (done !== total) throw damaged();
  yield window.subarray(given, out);
}

/** A number of 7 bits a byte, the lowest first. */
function readLength(packed: Buffer): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let at = 0; at < Math.min(5, packed.length); at++) {
    const byte = packed[at] as number;
    value += (byte & 127) * 2 ** (7 * at);
    if (byte < 128) return { value, next: at + 1 };
  }
  throw damaged();
}

function damaged(): RangeError {
  return new RangeError("snappy data is damaged");
}
