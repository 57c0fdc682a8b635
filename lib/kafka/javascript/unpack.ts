import { setImmediate as rest } from "node:timers/promises";
import { createGunzip, createZstdDecompress, gunzipSync, zstdDecompressSync } from "node:zlib";
import { compressionsAlgorithms } from "@platformatic/kafka";
import { mostLz4, unpackLz4 } from "./lz4.ts";
import { mostSnappy, unpackSnappy } from "./snappy.ts";

/** Kafka's numbers for the ways of compression: the three lowest bits of a batch's attributes. */
export const NONE = 0;
const GZIP = 1;
const SNAPPY = 2;
const LZ4 = 3;
const ZSTD = 4;

/** Bytes that are unpacked before other work gets its turn. */
const TURN = 4 * 1024 * 1024;
/** The most bytes of one piece. */
const PIECE = 256 * 1024;

/**
 * The whole content, or null where it has more than `most` bytes. Throws where it is damaged, or
 * packed in an unknown way.
 */
export function unpackWhole(codec: number, packed: Buffer, most: number): Buffer | null {
  switch (codec) {
    case NONE:
      return packed;
    case GZIP:
      return whole(() => gunzipSync(packed, { maxOutputLength: most }));
    case ZSTD:
      return whole(() => zstdDecompressSync(packed, { maxOutputLength: most }));
    case LZ4:
      return fast(compressionsAlgorithms.lz4, packed, mostLz4, most) ?? joined(blocks(codec, packed), most);
    case SNAPPY:
      return fast(compressionsAlgorithms.snappy, packed, mostSnappy, most) ?? joined(blocks(codec, packed), most);
    default:
      return joined(blocks(codec, packed), most);
  }
}

/**
 * Unpacks with the library, which is faster, but does it all at once and says little. Null where
 * that is too much, or fails.
 */
function fast(
  library: { decompressSync(packed: Buffer): Buffer },
  packed: Buffer,
  bound: (packed: Buffer) => number,
  most: number,
): Buffer | null {
  try {
    return bound(packed) > most ? null : library.decompressSync(packed);
  } catch {
    return null;
  }
}

/**
 * The content in pieces of at most 256 KiB, each good until the next is asked for. Memory: a few
 * MiB, for zstd what its frame asks for, 128 MiB at most. Throws as `unpackWhole` does.
 */
export async function* unpack(codec: number, packed: Buffer): AsyncGenerator<Buffer, void> {
  let since = 0;
  for await (const block of codec === GZIP || codec === ZSTD ? stream(codec, packed) : blocks(codec, packed)) {
    for (let at = 0; at < block.length; at += PIECE) {
      yield block.subarray(at, at + PIECE);
      since += Math.min(PIECE, block.length - at);
      if (since < TURN) continue;
      since = 0;
      await rest();
    }
  }
}

function blocks(codec: number, packed: Buffer): Iterable<Buffer> {
  if (codec === NONE) return [packed];
  if (codec === LZ4) return unpackLz4(packed);
  if (codec === SNAPPY) return unpackSnappy(packed);
  throw new RangeError(`it is compressed in a way that is not known here (number ${codec})`);
}

async function* stream(codec: number, packed: Buffer): AsyncGenerator<Buffer, void> {
  const options = { chunkSize: PIECE };
  const unpacking = codec === GZIP ? createGunzip(options) : createZstdDecompress(options);
  unpacking.end(packed);
  for await (const piece of unpacking as AsyncIterable<Buffer>) {
    yield piece;
    free(piece);
  }
}

/**
 * Frees the memory of a piece that nobody reads again. The collector would be late: it sees only
 * the little that the piece takes of the heap. A piece that is not full has memory that the stream
 * still writes to, or that other buffers share.
 */
function free({ buffer, length }: Buffer): void {
  if (length === PIECE && buffer.byteLength === PIECE && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

function whole(unpacked: () => Buffer): Buffer | null {
  try {
    return unpacked();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return null;
    throw error;
  }
}

function joined(pieces: Iterable<Buffer>, most: number): Buffer | null {
  const kept: Buffer[] = [];
  let size = 0;
  for (const piece of pieces) {
    size += piece.length;
    if (size > most) return null;
    kept.push(Buffer.from(piece));
  }
  return kept.length === 1 ? kept[0] as Buffer : Buffer.concat(kept);
}
