import { expect, it } from "vitest";
import { Progress } from "../lib/ingest/progress.ts";

it("Progress begins at the offset that was asked for, not at the first message", () => {
  const progress = new Progress(new Map([[0, 5]]));
  expect([4, 5, 6].map((offset) => progress.judge(0, offset))).toEqual(["replay", "next", "gap"]);
});

it("Progress takes a partition that is not of its reading for a gap", () => {
  expect(new Progress(new Map([[0, 0]])).judge(1, 0)).toBe("gap");
});

it("Progress.takeSpans tells from where to where each partition went since the last call", () => {
  const progress = new Progress(new Map([[0, 5], [1, 0], [2, 9]]));
  progress.pass(0, 5);
  progress.pass(1, 3); // A hole: the span begins at the position all the same, or the next batch would see a gap.
  progress.pass(0, 6);
  expect([...progress.takeSpans()]).toEqual([[0, { start: 5, next: 7 }], [1, { start: 0, next: 4 }]]);
  expect([...progress.takeSpans()]).toEqual([]);
  progress.pass(0, 7);
  expect([...progress.takeSpans()]).toEqual([[0, { start: 7, next: 8 }]]);
  expect([...progress.positions]).toEqual([[0, 8], [1, 4], [2, 9]]);
});
