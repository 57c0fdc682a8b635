import { expect, it } from "vitest";
import { LastResults } from "../../lib/delivery/last_results.ts";
import { emptyMetric, encodeMetric, type Metric } from "../../lib/metric.ts";

const NOON = Date.parse("2026-03-01T12:00:00Z");

/** A message about a check that was due so many seconds after noon. */
function message(address: string, seconds: number, more: Partial<Metric> = {}) {
  const scheduledAt = new Date(NOON + seconds * 1000);
  const origin = { address, scheduledAt, checkedAt: scheduledAt, nextAt: null, location: "Berlin", producer: "p" };
  const value = Buffer.from(encodeMetric({ ...emptyMetric(origin), ...more }));
  return { partition: 0, offset: 0, key: Buffer.from(address), value, timestamp: NOON };
}

it("LastResults knows the newest due time of each address, whatever comes late", () => {
  const results = new LastResults("Berlin");
  results.note([message("a", 1), message("b", 2), message("a", 3, { error: "missed" })]);
  results.note([message("a", 2)]);
  expect([results.lastDue("a"), results.lastDue("b"), results.lastDue("c")]).toEqual([
    NOON + 3000,
    NOON + 2000,
    undefined,
  ]);
});

it("LastResults counts no other place, no removed host, and nothing that is no metric", () => {
  const results = new LastResults("Berlin");
  results.note([message("a", 1, { location: null }), message("b", 1), message("b", 2, { error: "removed" })]);
  results.note([{ ...message("c", 1), value: Buffer.from("{") }, { ...message("d", 1), value: null }]);
  results.note([message("e", 1, { scheduled_at: null })]);
  expect(["a", "b", "c", "d", "e"].map((address) => results.lastDue(address))).toEqual(Array(5).fill(undefined));
  results.note([message("b", 3)]);
  expect(results.lastDue("b")).toBe(NOON + 3000);
});
