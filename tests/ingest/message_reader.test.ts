import { expect, it } from "vitest";
import { OffsetTracker } from "../../lib/ingest/message_reader.ts";
import { placesAt } from "../support/log_positions.ts";

it("Progress begins at the offset that was asked for, not at the first message", () => {
  const tracker = new OffsetTracker(placesAt([[0, 5]]));
  expect([4, 5, 6].map((offset) => tracker.judge(0, offset))).toEqual(["replay", "next", "gap"]);
});

it("Progress takes a partition that is not of its reading for a gap", () => {
  expect(new OffsetTracker(placesAt([[0, 0]])).judge(1, 0)).toBe("gap");
});

it("Progress.takeRanges tells from where to where each partition went since the last call, and the last epoch", () => {
  const tracker = new OffsetTracker(placesAt([[0, 5], [1, 0], [2, 9]]));
  tracker.pass(0, 5, 1);
  // A hole at the position: the range begins there all the same, or the next batch would see a gap.
  tracker.pass(1, 3, null);
  tracker.pass(0, 6, 2);
  expect([...tracker.takeRanges()]).toEqual([
    [0, { start: 5, next: 7, epoch: 2 }],
    [1, { start: 0, next: 4, epoch: null }],
  ]);
  expect([...tracker.takeRanges()]).toEqual([]);
  tracker.pass(0, 7, 2);
  expect([...tracker.takeRanges()]).toEqual([[0, { start: 7, next: 8, epoch: 2 }]]);
  expect([...tracker.positions]).toEqual([[0, 8], [1, 4], [2, 9]]);
});
