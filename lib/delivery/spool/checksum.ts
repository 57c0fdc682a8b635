import { crc32 } from "node:zlib";

/**
 * The checksum of a row (CRC-32, as in zip). One flipped bit never escapes it, and other damage
 * escapes it one time in 4 billion. It covers everything that a row is sent by: its place in the
 * order, its topic, and its document.
 */
export function rowChecksum(id: number, topic: string, document: string): number {
  return crc32(document, crc32(`${id} ${topic} `));
}

/** The checksum of the totals that are noted beside the rows. */
export function totalsChecksum(count: number, bytes: number, last: number, journal: string): number {
  return crc32(`${count} ${bytes} ${last} ${journal}`);
}
