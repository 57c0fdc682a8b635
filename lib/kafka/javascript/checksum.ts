import { crc32c, Writer } from "@platformatic/kafka";

/**
 * Bytes that are summed up at once. The library's WebAssembly, which Deno uses, copies them into a
 * memory that never shrinks again.
 */
const AT_ONCE = 1024 * 1024;

/** The CRC-32C of bytes, however many: Kafka's protocol, "Record Batch". */
export function checksum(bytes: Buffer): number {
  const begin = bytes.length % AT_ONCE;
  // Nothing is never given to the WebAssembly: it fails on it after its memory has grown.
  let sum = begin === 0 ? 0 : sumOf(bytes.subarray(0, begin));
  if (begin === bytes.length) return sum;
  const piece = Buffer.allocUnsafe(AT_ONCE);
  for (let at = begin; at < bytes.length; at += AT_ONCE) {
    bytes.copy(piece, 0, at);
    // A sum goes on where the earlier one is mixed into the next four bytes.
    piece.writeUInt32LE((piece.readUInt32LE(0) ^ sum) >>> 0, 0);
    sum = sumOf(piece);
  }
  return sum;
}

/**
 * Wrapped: of a bare buffer the library's native code makes a copy first, which takes three times
 * as long.
 */
function sumOf(bytes: Buffer): number {
  return crc32c(Writer.create().append(bytes).dynamicBuffer);
}
