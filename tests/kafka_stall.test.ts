import { describe, expect, it } from "vitest";
import { StallWatch } from "../lib/kafka/stall.ts";

describe("StallWatch", () => {
  /** Looks at partition 0, in each of the states [offset to read next, end of the log]. */
  const look = (watch: StallWatch, ...states: [next: number, end: number][]) =>
    states.map(([next, end]) => {
      const stall = watch.stalled(new Map([[0, next]]), new Map([[0, end]]));
      if (stall === undefined) return "none";
      expect(stall.partition).toBe(0);
      return stall.isAgain ? "again" : "first";
    });

  it.each<{ what: string; states: [next: number, end: number][]; found: ("none" | "first" | "again")[] }>([
    { what: "stands at its log's end", states: [[5, 5], [5, 5], [5, 5]], found: ["none", "none", "none"] },
    { what: "goes on", states: [[5, 9], [6, 9], [7, 9]], found: ["none", "none", "none"] },
    { what: "has new messages since the last look only", states: [[5, 5], [5, 9]], found: ["none", "none"] },
    { what: "stands before its log's end at two looks", states: [[5, 9], [5, 9]], found: ["none", "first"] },
    {
      what: "stands behind its log's end at two looks",
      states: [[5, 3], [5, 3], [5, 3]],
      found: ["none", "first", "again"],
    },
    {
      what: "stands before its log's end where that was told before",
      states: [[5, 9], [5, 9], [5, 9]],
      found: ["none", "first", "none"],
    },
    { what: "stands while its log grows", states: [[5, 9], [5, 9], [5, 10]], found: ["none", "first", "again"] },
  ])("StallWatch.stalled tells of a partition that $what: $found", ({ states, found }) => {
    expect(look(new StallWatch(() => 0), ...states)).toEqual(found);
  });

  it("StallWatch.begin forgets what was seen of the last reading, but not what was told", () => {
    const watch = new StallWatch(() => 0);
    look(watch, [5, 9]);
    watch.begin();
    expect(look(watch, [5, 9], [5, 9])).toEqual(["none", "first"]);
    watch.begin();
    expect(look(watch, [5, 9], [5, 9])).toEqual(["none", "none"]);
  });

  it("StallWatch.stalled tells a partition that stood there before from one that has given something since", () => {
    const watch = new StallWatch(() => 0);
    expect(look(watch, [5, 9], [5, 9], [7, 9], [7, 9], [7, 12])).toEqual(["none", "first", "none", "first", "again"]);
  });

  it("StallWatch.stalled asks for a new client once where a partition stands: its log may grow by transactions that were aborted", () => {
    const watch = new StallWatch(() => 0);
    const found = look(watch, [5, 9], [5, 9], [5, 11], [5, 13], [7, 13], [7, 13], [7, 15], [7, 17]);
    expect(found).toEqual(["none", "first", "again", "first", "none", "first", "again", "first"]);
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
