import { describe, expect, it } from "vitest";
import { StallWatch } from "../lib/kafka/stall.ts";

describe("StallWatch", () => {
  /** Looks at partition 0, in each of the states [offset to read next, end of the log]. */
  const look = (watch: StallWatch, ...states: [next: number, end: number][]) =>
    states.map(([next, end]) => watch.stalled(new Map([[0, next]]), new Map([[0, end]])));

  it.each<{ what: string; states: [next: number, end: number][]; found: (number | undefined)[] }>([
    { what: "stands at its log's end", states: [[5, 5], [5, 5], [5, 5]], found: [undefined, undefined, undefined] },
    { what: "goes on", states: [[5, 9], [6, 9], [7, 9]], found: [undefined, undefined, undefined] },
    { what: "has new messages since the last look only", states: [[5, 5], [5, 9]], found: [undefined, undefined] },
    { what: "stands before its log's end at two looks", states: [[5, 9], [5, 9]], found: [undefined, 0] },
    { what: "stands behind its log's end at two looks", states: [[5, 3], [5, 3], [5, 3]], found: [undefined, 0, 0] },
    {
      what: "stands before its log's end where that was told before",
      states: [[5, 9], [5, 9], [5, 9]],
      found: [undefined, 0, undefined],
    },
    { what: "stands while its log grows", states: [[5, 9], [5, 9], [5, 10]], found: [undefined, 0, 0] },
  ])("StallWatch.stalled tells of a partition that $what: $found", ({ states, found }) => {
    expect(look(new StallWatch(() => 0), ...states)).toEqual(found);
  });

  it("StallWatch.begin forgets what was seen of the last reading, but not what was told", () => {
    const watch = new StallWatch(() => 0);
    look(watch, [5, 9]);
    watch.begin();
    expect(look(watch, [5, 9], [5, 9])).toEqual([undefined, 0]);
    watch.begin();
    expect(look(watch, [5, 9], [5, 9])).toEqual([undefined, undefined]);
  });

  it("StallWatch.isDue wants both time and pulls since the last look", () => {
    let now = 0;
    const watch = new StallWatch(() => now);
    watch.begin();
    const pulls = (count: number) => Array.from({ length: count }, () => watch.isDue());
    expect(pulls(20)).not.toContain(true);
    now = 3_000;
    expect(pulls(11)).toEqual([true, ...Array(10).fill(false)]);
    now = 60_000;
    watch.begin();
    now = 120_000;
    expect(pulls(10).indexOf(true)).toBe(9);
  });
});
