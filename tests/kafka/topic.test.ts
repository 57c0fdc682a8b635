import { expect, it } from "vitest";
import { type IdHalves, topicIdHex } from "../../lib/kafka/topic.ts";

const halves = (mostSignificantBits: bigint, leastSignificantBits: bigint): IdHalves => {
  return { mostSignificantBits, leastSignificantBits };
};

it.each([
  ["UUID text", "0b0e7f3c-2b53-4c2e-9d43-0d6d4e3f0c11", "0b0e7f3c2b534c2e9d430d6d4e3f0c11"],
  ["UUID text in capitals", "0B0E7F3C-2B53-4C2E-9D43-0D6D4E3F0C11", "0b0e7f3c2b534c2e9d430d6d4e3f0c11"],
  ["two halves", halves(0x0b0e7f3c2b534c2en, 0x1d430d6d4e3f0c11n), "0b0e7f3c2b534c2e1d430d6d4e3f0c11"],
  ["a negative half", halves(0x0b0e7f3c2b534c2en, -0x62bcf292b1c0f3efn), "0b0e7f3c2b534c2e9d430d6d4e3f0c11"],
  ["small halves", halves(1n, 2n), "00000000000000010000000000000002"],
  ["no id, as text", "00000000-0000-0000-0000-000000000000", null],
  ["no id, as halves", halves(0n, 0n), null],
  ["a topic's name, which stands for the id where a broker knows none", "metrics", null],
  ["nothing", "", null],
])("topicIdHex of %s", (_what, id, expected) => {
  expect(topicIdHex(id)).toBe(expected);
});
