import { expect, it } from "vitest";
import { BacklogReport } from "../../lib/delivery/backlog.ts";
import type { Figures } from "../../lib/delivery/delivery.ts";

const figures = (some: Partial<Figures>): Figures => ({
  made: 0,
  delivered: 0,
  waiting: 0,
  kept: 0,
  dropped: 0,
  ...some,
});

type Look = readonly [seconds: number, figures: Partial<Figures>, dropped: string | null, waiting: string | null];

const droppedLine = (more: number, all: number) =>
  `${more} metric${
    more === 1 ? "" : "s"
  } dropped, the oldest first, since more wait for Kafka than there is room for; ${all} since the start`;

it.each<[string, readonly Look[]]>([
  ["nothing where nothing waits", [[1, {}, null, null], [60, { delivered: 5 }, null, null], [120, {}, null, null]]],
  ["the first drop at once, and those of a minute together", [
    [1, { dropped: 3 }, droppedLine(3, 3), null],
    [2, { dropped: 5 }, null, null],
    [61, { dropped: 10 }, droppedLine(7, 10), null],
    [200, { dropped: 10 }, null, null],
    [201, { dropped: 11 }, droppedLine(1, 11), null],
  ]],
  ["once a minute how many wait, where none went out", [
    [59, { waiting: 5 }, null, null],
    [60, { waiting: 5 }, null, null],
    [61, { waiting: 6 }, null, null],
    [120, { waiting: 9 }, null, "9 metrics wait for Kafka, in memory; 0 delivered in the last minute"],
    [
      180,
      { waiting: 9, kept: 7 },
      null,
      "9 metrics wait for Kafka, 7 of them on disk; 0 delivered in the last minute",
    ],
  ]],
  ["nothing of the few that are on their way while others arrive", [
    [60, { waiting: 500, delivered: 1000 }, null, null],
    [120, { waiting: 500, delivered: 2000 }, null, null],
  ]],
  ["how a backlog shrinks", [
    [60, { waiting: 9000 }, null, null],
    [
      120,
      { waiting: 5000, kept: 5000, delivered: 4000 },
      null,
      "5000 metrics wait for Kafka, 5000 of them on disk; 4000 delivered in the last minute",
    ],
    [180, { waiting: 0, delivered: 9000 }, null, null],
  ]],
])("BacklogReport.look says %s", (_what, looks) => {
  const report = new BacklogReport(figures({}), 0);
  for (const [seconds, some, dropped, waiting] of looks) {
    expect({ seconds, ...report.look(figures(some), seconds * 1000) }).toEqual({ seconds, dropped, waiting });
  }
});
