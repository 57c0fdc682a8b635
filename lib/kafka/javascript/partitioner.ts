import { compatibilityPartitioner } from "@platformatic/kafka";

/**
 * The partition of a message by its key. As Java by default, and librdkafka's murmur2_random. The
 * library's own default differs for a negative hash.
 */
export function partitionOf(key: string, partitions: number): number {
  const bytes = Buffer.from(key);
  return compatibilityPartitioner({ topic: "", key: bytes, value: bytes }, bytes) % partitions;
}
