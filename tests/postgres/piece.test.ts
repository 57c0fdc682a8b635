import { expect, it } from "vitest";
import type { Entry } from "../../lib/postgres/entry.ts";
import { cut, join, type Piece, portions, runs } from "../../lib/postgres/piece.ts";

const entry = (partition: number, offset: number, size = 0): Entry => {
  return { partition, offset, epoch: offset, key: null, value: new Uint8Array(size), content: { reason: "" } };
};
const offsets = (piece: Piece) => piece.entries.map(({ partition, offset }) => `${partition}/${offset}`);

it("cut ends the left part behind its last messages, with the epoch of the last one, and begins the right part there", () => {
  const piece: Piece = {
    ranges: new Map([
      [0, { start: 3, next: 20, epoch: 19 }],
      [1, { start: 0, next: 5, epoch: 4 }],
      [2, { start: 8, next: 9, epoch: 8 }],
    ]),
    entries: [entry(0, 5), entry(1, 4), entry(0, 9), entry(2, 8)],
  };
  const [left, right] = cut(piece, 2);
  expect(offsets(left)).toEqual(["0/5", "1/4"]);
  expect(left.ranges).toEqual(new Map([[0, { start: 3, next: 6, epoch: 5 }], [1, { start: 0, next: 5, epoch: 4 }]]));
  expect(offsets(right)).toEqual(["0/9", "2/8"]);
  expect(right.ranges).toEqual(
    new Map([[0, { start: 6, next: 20, epoch: 19 }], [2, { start: 8, next: 9, epoch: 8 }]]),
  );
});

it("join puts together what cut has cut, wherever that was", () => {
  const piece: Piece = {
    ranges: new Map([
      [0, { start: 3, next: 20, epoch: 19 }],
      [1, { start: 0, next: 5, epoch: 4 }],
      [2, { start: 8, next: 9, epoch: 8 }],
    ]),
    entries: [entry(0, 5), entry(1, 4), entry(0, 9), entry(2, 8)],
  };
  for (let at = 0; at <= 4; at++) expect(join(...cut(piece, at))).toEqual(piece);
});

it.each([
  { sizes: [], parts: [[]] },
  { sizes: [4, 4], parts: [[0, 1]] },
  { sizes: [4, 4, 4, 4, 4], parts: [[0, 1], [2, 3], [4]] },
  { sizes: [99, 1, 99, 99], parts: [[0], [1], [2], [3]] },
  { sizes: [1, 1, 1, 1, 1, 1, 1], parts: [[0, 1, 2], [3, 4, 5], [6]] },
])("portions of at most 10 bytes and 3 messages, of messages of $sizes bytes, are $parts", ({ sizes, parts }) => {
  const most = { messages: 3, bytes: 10 };
  const entries = sizes.map((size, offset) => entry(0, offset, size));
  const pages = entries.map((each) => ({ entries: [each], bytes: each.value?.length ?? 0 }));
  const ranges = new Map([[0, { start: 0, next: 50 }]]);
  const found = [...portions({ ranges, slices: pages }, () => most)];
  expect(found.map((portion) => portion.slices.flatMap((page) => page.entries.map(({ offset }) => offset)))).toEqual(
    parts,
  );
  expect(found.map((portion) => portion.ranges.get(0)?.start)).toEqual(parts.map(([first]) => first ?? 0));
  expect(found.at(-1)?.ranges.get(0)?.next).toBe(50);
  if (sizes.length > 0) expect([...runs(entries, most)].map((run) => run.map(({ offset }) => offset))).toEqual(parts);
});

it("portions asks for each portion anew how large it may be", () => {
  let messages = 4;
  const slices = Array.from({ length: 7 }, (_, offset) => ({ entries: [entry(0, offset)], bytes: 0 }));
  const found: number[] = [];
  for (
    const portion of portions({ ranges: new Map([[0, { start: 0, next: 7 }]]), slices }, () => ({ messages, bytes: 1 }))
  ) {
    found.push(portion.slices.length);
    messages /= 2;
  }
  expect(found).toEqual([4, 2, 1]);
});
