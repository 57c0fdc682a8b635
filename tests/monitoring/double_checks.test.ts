import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DoubleChecks } from "../../lib/monitoring/double_checks.ts";
import { Log } from "../../lib/monitoring/log.ts";
import { emptyMetric, type Metric } from "../../lib/metric.ts";
import type { Entry } from "../../lib/postgres/store.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const due = new Date("2026-01-01T00:00:00Z");

/** A check of a host at its due time. */
function entry(producer: string, more: Partial<Metric> = {}): Entry {
  const about = { scheduledAt: due, checkedAt: due, nextAt: null, location: null, isGrouped: false, producer };
  const content = { ...emptyMetric({ address: "http://a.example", ...about }), status_code: 200, ...more };
  return { partition: 0, offset: 0, epoch: null, key: null, value: null, content };
}

function watch() {
  const lines: string[] = [];
  const log = new Log("consumer", "INFO", ({ message }) => message, (line) => void lines.push(line));
  return { doubles: new DoubleChecks(log), lines };
}

it("two producers of one due time are named at once, and counted once a minute after that", () => {
  const { doubles, lines } = watch();
  doubles.see([entry("a"), entry("b")], "age", 0);
  expect(doubles.total).toBe(1);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("Two producers check the same hosts, a and b: 1 due time twice, as of http://a.example");
  doubles.see([entry("a"), entry("b"), entry("a", { address: "http://b.example" })], "age", 10);
  doubles.see([entry("b", { address: "http://b.example" })], "age", 20);
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain("a and b: 3 due times twice");
  vi.advanceTimersByTime(600_000);
  expect(lines).toHaveLength(2);
  doubles[Symbol.dispose]();
});

const first = entry("a");
const { check_id: firstId } = first.content as Metric;

it.each<readonly [string, Entry]>([
  ["another place", entry("b", { location: "Berlin" })],
  ["another due time", entry("b", { scheduled_at: "2026-01-01T00:00:01.000Z" })],
  ["the same producer", entry("a")],
  ["a member of its group", entry("b", { check_id: firstId })],
  ["a producer without a name", entry("b", { producer: null })],
  ["a missed check", entry("b", { error: "missed" })],
  ["a host that was removed", entry("b", { error: "removed" })],
  ["no metric", { ...entry("b"), content: { reason: "no metric" } }],
])("nothing is said of %s", (_, other) => {
  const { doubles, lines } = watch();
  doubles.see([first, other], "age", 0);
  expect(doubles.total).toBe(0);
  expect(lines).toEqual([]);
  doubles[Symbol.dispose]();
});

it("looks at one batch a second where they are full", () => {
  const { doubles } = watch();
  doubles.see([entry("a"), entry("b")], "size", 0);
  doubles.see([entry("c"), entry("d")], "size", 900);
  doubles.see([entry("e"), entry("f")], "size", 1000);
  // The first one of a batch is compared with the last one of the batch before.
  expect(doubles.total).toBe(3);
  doubles[Symbol.dispose]();
});
