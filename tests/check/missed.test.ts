import { expect, it } from "vitest";
import { missedMetrics, removedMetric } from "../../lib/check/missed.ts";
import type { MissedRun } from "../../lib/check/scheduler.ts";
import { nextDue } from "../../lib/hosts/schedule.ts";
import { decodeMetric, encodeMetric, isRejection } from "../../lib/metric.ts";
import { hostsOf } from "../support/simulation.ts";

const [host] = hostsOf("https://me:secret@a.example/ 1h", "| label team=shop");
const FIRST = Date.parse("2026-03-01T12:00:00Z");
const missed: MissedRun = {
  host: host as NonNullable<typeof host>,
  cause: "asleep",
  first: FIRST,
  count: 3,
  summary: null,
  noticedAt: FIRST + 10_000_000,
};

const BERLIN = { location: "Berlin", producer: "checker-1" };
const NOWHERE = { location: null, producer: null };

it("removedMetric is the last one of a host: it is due no more, and neither up nor down", () => {
  expect(removedMetric(missed.host, new Date(FIRST), BERLIN)).toMatchObject({
    address: "https://a.example/",
    error: "removed",
    error_detail: "the host is no longer in the hosts file",
    scheduled_at: "2026-03-01T12:00:00.000Z",
    checked_at: "2026-03-01T12:00:00.000Z",
    next_at: null,
    up: null,
    location: "Berlin",
    producer: "checker-1",
    labels: { team: "shop" },
  });
});

it("missedMetrics gives one metric a due time, each with its own check_id, which any consumer can read", () => {
  const metrics = [...missedMetrics({ ...missed, count: 1 }, BERLIN), ...missedMetrics(missed, NOWHERE)];
  expect(metrics[0]).toEqual({
    address: "https://a.example/",
    status_code: null,
    latency: 0,
    is_valid: false,
    scheduled_at: "2026-03-01T12:00:00.000Z",
    checked_at: "2026-03-01T14:46:40.000Z",
    error: "missed",
    error_detail: "the program did not run then: the machine slept, or its clock was set forward",
    latency_dns: null,
    latency_connect: null,
    latency_tls: null,
    latency_first_byte: null,
    latency_body: null,
    tls_expires_at: null,
    location: "Berlin",
    check_id: expect.stringMatching(/^[\da-f]{8}-/),
    up: null,
    remote_address: null,
    producer: "checker-1",
    next_at: new Date(nextDue(missed.host.frequency, missed.host.address, FIRST)).toISOString(),
    labels: { team: "shop" },
  });
  expect(metrics.slice(2).map(({ scheduled_at }) => Date.parse(scheduled_at ?? "") - FIRST).every((at) => at > 0)).toBe(
    true,
  );
  expect(new Set(metrics.map(({ check_id }) => check_id)).size).toBe(4);
  expect(metrics.map((metric) => isRejection(decodeMetric(Buffer.from(encodeMetric(metric)), 0)))).toEqual(
    Array(4).fill(false),
  );
});

it("missedMetrics tells of a whole row in one metric, with how many", () => {
  const metrics = [...missedMetrics({ ...missed, cause: "running", summary: { last: missed.noticedAt } }, NOWHERE)];
  expect(metrics.map(({ scheduled_at, error_detail }) => ({ scheduled_at, error_detail }))).toEqual([{
    scheduled_at: "2026-03-01T12:00:00.000Z",
    error_detail: "3 more checks until 2026-03-01T14:46:40.000Z: the check before it still ran",
  }]);
});
