const MAGIC = 0x184d2204;
/** Frames that a reader leaves out have one of sixteen magic numbers that begin so. */
const SKIPPABLE = 0x184d2a50;
/** Bits of a frame's first byte: which fields it has. */
const DICTIONARY = 1;
const CONTENT_CHECKSUM = 4;
const CONTENT_SIZE = 8;
const BLOCK_CHECKSUM = 16;
const STORED = 0x80000000;
/** How far back a match may lie. */
const REACH = 64 * 1024;

/**
 * The content of LZ4 frames (lz4's lz4_Frame_format.md and lz4_Block_format.md), a block at a time,
 * 4 MiB at most. Each piece is good until the next is asked for. Checksums are not looked at: a
 * batch has its own. Throws `RangeError` where the data is damaged.
 */
export function* unpackLz4(packed: Buffer): Generator<Buffer> {
  let window = Buffer.alloc(0);
  for (let at = 0; at < packed.length;) {
    const magic = packed.readUInt32LE(at);
    if (((magic ^ SKIPPABLE) >>> 4) === 0) {
      at += 8 + packed.readUInt32LE(at + 4);
      continue;
    }
    if (magic !== MAGIC) throw new RangeError("there is no LZ4 frame");
    const header = readHeader(packed, at + 4);
    // A frame that is shorter than a block needs no more than it can hold.
    const size = REACH + Math.min(header.most, 255 * packed.length);
    // One for all frames: the collector would be late with one for each.
    if (window.length < size) window = Buffer.allocUnsafe(size);
    at = yield* unpackFrame(packed, header, window);
  }
}

/**
 * The most bytes that a single frame may unpack to, by its header and the number of its blocks;
 * Infinity for anything else.
 */
export function mostLz4(packed: Buffer): number {
  if (packed.readUInt32LE(0) !== MAGIC) return Infinity;
  const { flags, most, trailer, begin } = readHeader(packed, 4);
  let at = begin;
  for (let blocks = 0;; blocks++) {
    const header = packed.readUInt32LE(at);
    at += 4;
    if (header === 0) return at + (flags & CONTENT_CHECKSUM ? 4 : 0) === packed.length ? blocks * most : Infinity;
    at += header % STORED + trailer;
  }
}

/**
 * The header that begins behind the magic number: the largest block, what follows one, and where
 * the first begins.
 */
function readHeader(packed: Buffer, start: number): FrameHeader {
  const flags = packed.readUInt8(start);
  const size = (packed.readUInt8(start + 1) >> 4) & 7;
  if (flags >> 6 !== 1 || size < 4) throw new RangeError("the LZ4 frame is of an unknown kind");
  const begin = start + 3 + (flags & CONTENT_SIZE ? 8 : 0) + (flags & DICTIONARY ? 4 : 0);
  return { flags, most: 1 << (8 + 2 * size), trailer: flags & BLOCK_CHECKSUM ? 4 : 0, begin };
}

interface FrameHeader {
  readonly flags: number;
  readonly most: number;
  readonly trailer: number;
  readonly begin: number;
}

/** Gives the offset behind the frame. */
function* unpackFrame(
  packed: Buffer,
  { flags, trailer, begin }: FrameHeader,
  window: Buffer,
): Generator<Buffer, number> {
  let at = begin;
  let end = 0;
  while (true) {
    const header = packed.readUInt32LE(at);
    at += 4;
    if (header === 0) return at + (flags & CONTENT_CHECKSUM ? 4 : 0);
    const length = header % STORED;
    if (at + length > packed.length) throw new RangeError("an LZ4 block ends early");
    const from = Math.min(end, REACH);
    window.copyWithin(0, end - from, end);
    end = header >= STORED
      ? from + packed.copy(window, from, at, at + length)
      : unpackBlock(packed, at, at + length, window, from);
    at += length + trailer;
    yield window.subarray(from, end);
  }
}

/**
 * Writes a block's content into `to` from `out` on, behind what it may refer to; gives where it
 * ends.
 */
function unpackBlock(from: Buffer, start: number, end: number, to: Buffer, out: number): number {
  for (let at = start; at < end;) {
    const token = from[at++] as number;
    let literals = token >> 4;
    if (literals === 15) {
      for (let more = 255; more === 255; literals += more) more = byteAt(from, at++, end);
    }
    if (at + literals > end || out + literals > to.length) throw new RangeError("an LZ4 block is damaged");
    copy(from, at, to, out, literals);
    at += literals;
    out += literals;
    if (at === end) break; // Only the last sequence has no match.
    const distance = byteAt(from, at, end) | byteAt(from, at + 1, end) << 8;
    at += 2;
    let length = token & 15;
    if (length === 15) {
      for (let more = 255; more === 255; length += more) more = byteAt(from, at++, end);
    }
    length += 4;
    if (distance === 0 || distance > out || out + length > to.length) {
      throw new RangeError("an LZ4 block is damaged");
    }
    repeat(to, out, distance, length);
    out += length;
  }
  return out;
}

function byteAt(bytes: Buffer, at: number, end: number): number {
  if (at >= end) throw new RangeError("compressed data ends early");
  return bytes[at] as number;
}

/** Below so many bytes a loop is faster than a call into the runtime. */
const SHORT = 24;

/** Copies bytes from one buffer to another. */
export function copy(from: Buffer, at: number, to: Buffer, out: number, length: number): void {
  if (length > SHORT) from.copy(to, out, at, at + length);
  else for (let i = 0; i < length; i++) to[out + i] = from[at + i] as number;
}

/**
 * Writes at `out` the `length` bytes that begin `distance` before it; a shorter distance repeats
 * them.
 */
export function repeat(bytes: Buffer, out: number, distance: number, length: number): void {
  const from = out - distance;
  if (length <= SHORT) {
    for (let i = 0; i < length; i++) bytes[out + i] = bytes[from + i] as number;
    return;
  }
  for (let done = 0; done < length;) {
    const count = Math.min(distance + done, length - done);
    bytes.copyWithin(out + done, from, from + count);
    done += count;
  }
}
