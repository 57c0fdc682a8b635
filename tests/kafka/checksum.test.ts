import { crc32c } from "@platformatic/kafka";
import { expect, it } from "vitest";
import { checksum } from "../../lib/kafka/javascript/checksum.ts";

const MIB = 1024 * 1024;

it("is that of all bytes in one go, however many there are", () => {
  const bytes = Buffer.from(Array.from({ length: 3 * MIB + 4 }, (_, at) => at * at % 251));
  for (const length of [0, 1, 3, 4, 5, MIB - 1, MIB, MIB + 1, MIB + 4, 2 * MIB, 3 * MIB + 4]) {
    expect(checksum(bytes.subarray(0, length))).toBe(crc32c(bytes.subarray(0, length)));
  }
  // The check value of CRC-32C.
  expect(checksum(Buffer.from("123456789"))).toBe(0xe3069283);
});
