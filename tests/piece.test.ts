import { expect, it } from "vitest";
import { cut, type Entry, type Piece, portions } from "../lib/store/piece.ts";

const entry = (partition: number, offset: number, size = 0): Entry => {
  return { partition, offset, key: null, value: new Uint8Array(size), content: { reason: "" } };
};
const offsets = (piece: Piece) => piece.entries.map(({ partition, offset }) => `${partition}/${offset}`);

it("cut ends the left part behind its last messages, and begins the right part there", () => {
  const piece: Piece = {
    spans: new Map([[0, { start: 3, next: 20 }], [1, { start: 0, next: 5 }], [2, { start: 8, next: 9 }]]),
    entries: [entry(0, 5), entry(1, 4), entry(0, 9), entry(2, 8)],
  };
  const [left, right] = cut(piece, 2);
  expect(offsets(left)).toEqual(["0/5", "1/4"]);
  expect(left.spans).toEqual(new Map([[0, { start: 3, next: 6 }], [1, { start: 0, next: 5 }]]));
  expect(offsets(right)).toEqual(["0/9", "2/8"]);
  expect(right.spans).toEqual(new Map([[0, { start: 6, next: 20 }], [2, { start: 8, next: 9 }]]));
});

it.each([
  { sizes: [], parts: [[]] },
  { sizes: [4, 4], parts: [[0, 1]] },
  { sizes: [4, 4, 4, 4, 4], parts: [[0, 1], [2, 3], [4]] },
  { sizes: [99, 1, 99, 99], parts: [[0], [1], [2], [3]] },
])("portions of at most 10 bytes, of messages of $sizes bytes, are $parts", ({ sizes, parts }) => {
  const entries = sizes.map((size, offset) => entry(0, offset, size));
  const pieces = [...portions({ spans: new Map([[0, { start: 0, next: 50 }]]), entries }, 10)];
  expect(pieces.map((piece) => piece.entries.map(({ offset }) => offset))).toEqual(parts);
  expect(pieces.at(-1)?.spans.get(0)?.next).toBe(50);
});
