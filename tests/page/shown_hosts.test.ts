import { expect, it, onTestFinished, vi } from "vitest";
import { historyOf, Hosts } from "../../lib/page/shown_hosts.ts";
import { bars, levelOf } from "../../lib/page/pictures.ts";
import type { HostReader } from "../../lib/postgres/host_reader.ts";
import type { PastIncident } from "../../lib/postgres/past_incidents.ts";

const now = new Date("2026-03-01T10:20:00Z");
const day = (day: string, checks: number, up: number, missed = 0) => ({ address: "a", day, checks, up, missed });
const span = (from: string, checks: number, up: number) => {
  return { address: "a", from: new Date(from), checks, up, missed: 0, latency: 0.1 };
};

const INCIDENT: PastIncident = {
  kind: "down",
  address: "a",
  opened_at: now,
  closed_at: null,
  reason: "status 503",
  locations: [],
  checks: 2,
};

it("historyOf has 90 days to today, and adds up 30 and 90 of them", () => {
  const days = [day("2025-12-02", 10, 0), day("2025-12-01", 99, 0), day("2026-01-31", 10, 10), day("2026-03-01", 4, 3)];
  const { days: shown, month, quarter } = historyOf(days, [], now);
  expect(shown.length).toBe(90);
  expect(shown.map((one) => one?.day).filter((one) => one !== undefined)).toEqual([
    "2025-12-02",
    "2026-01-31",
    "2026-03-01",
  ]);
  expect(month).toEqual({ checks: 14, up: 13, missed: 0 });
  expect(quarter).toEqual({ checks: 24, up: 13, missed: 0 });
});

it("historyOf has the half hours of 24 hours, and the one under way", () => {
  const spans = ["2026-02-28T09:30Z", "2026-02-28T10:00Z", "2026-03-01T10:00Z"].map((from) => span(from, 2, 1));
  const history = historyOf([], spans, now);
  expect(history.spans.length).toBe(49);
  expect(history.day).toEqual({ checks: 4, up: 2, missed: 0 });
});

it("levelOf calls a day without a check neither good nor bad", () => {
  expect(
    [null, day("2026-03-01", 0, 0, 5), day("2026-03-01", 9, 9), day("2026-03-01", 100, 99), day("2026-03-01", 9, 1)]
      .map(levelOf),
  ).toEqual(["none", "none", "up", "some", "down"]);
});

it("bars say in words what they show", async () => {
  const { days } = historyOf([day("2026-02-27", 10, 5), day("2026-02-28", 10, 10)], [], now);
  const svg = String(await bars(days, now));
  expect(svg).toContain("90 days to 2026-03-01: 1 with failures (2026-02-27 50.00 %), 88 not checked");
  expect(svg.match(/<path class="(\w+)"/g)?.length).toBe(3);
});

it.each([[30_000, 2], [undefined, 1]])(
  "Hosts with answers of at most %j ms has read %i after a minute",
  async (oldest, last) => {
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    let read = 0;
    const reader: Pick<HostReader, "now" | "troubled" | "incidents"> = {
      now: () => Promise.resolve([]),
      troubled: () => Promise.resolve([]),
      incidents: () => Promise.resolve(Array.from({ length: ++read }, () => INCIDENT)),
    };
    const hosts = new Hosts(reader as HostReader, null, oldest);
    expect((await hosts.incidents()).length).toBe(1);
    vi.advanceTimersByTime(60_000);
    expect((await hosts.incidents()).length).toBe(last);
  },
);
