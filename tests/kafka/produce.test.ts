import { expect, it } from "vitest";
import { partitionOf } from "../../lib/kafka/javascript/produce.ts";

it.each(
  [
    // Hashes as Kafka's own tests have them (org.apache.kafka.common.utils.UtilsTest).
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
  ] as const,
)("partitionOf(%j) is what Kafka's Java client says", (key, hash) => {
  for (const partitions of [1, 2, 3, 12, 1000]) {
    expect(partitionOf(key, partitions)).toBe((hash & 0x7fffffff) % partitions);
  }
});
