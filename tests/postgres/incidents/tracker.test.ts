import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import { encodeMetric, type Metric, METRIC_FIELDS } from "../../../lib/metric.ts";
import { BatchEncoder } from "../../../lib/postgres/encoded_batch.ts";
import { ReceivedEntry } from "../../../lib/postgres/entry.ts";
import { MaintenanceWindows } from "../../../lib/postgres/incidents/maintenance.ts";
import {
  type AddressState,
  type IncidentChange,
  type Observation,
  observe,
  UNKNOWN_ADDRESS,
  UNTOLD,
} from "../../../lib/postgres/incidents/rules.ts";
import { SteadyPlaces } from "../../../lib/postgres/incidents/steady_places.ts";
import { IncidentTracker } from "../../../lib/postgres/incidents/tracker.ts";
import type { Tables } from "../../../lib/postgres/tables.ts";
import { metricWith } from "../../support/metrics.ts";
import { Random } from "../../support/random.ts";

const TABLES = {
  columns: METRIC_FIELDS,
  reals: new Set(),
  partLength: null,
  kept: null,
  isUnicode: true,
  hasIncidents: true,
} as unknown as Tables;
const IDENTITY = { topic: "metrics", topicId: "1" };
const START = Date.UTC(2028, 1, 27);
const DAY = 1440;
const at = (minute: number) => new Date(START + minute * 60_000).toISOString();

/** Checks of some addresses from some places, most of them up. Certificates become short in the middle. */
function randomChecks(random: Random, minutes: number): Metric[] {
  const places = ["Oslo", "ü", null].slice(0, random.between(1, 3));
  const isBad = random.next() * 0.3;
  const checks: Metric[] = [];
  let days = 21.01;
  for (let minute = 0; minute < minutes; minute++) {
    if (random.next() < 0.2) days += random.between(-1, 2) / 100;
    for (const address of ["https://a.example", "https://ä.example", 'https://"quoted".example']) {
      const kind = random.next() < isBad ? random.pick(["down", "missed", "removed"] as const) : "up";
      const due = minute * 10 - (random.next() < 0.1 ? 15 : 0);
      checks.push(metricWith({
        address,
        location: random.pick(places),
        scheduled_at: at(due),
        checked_at: at(due),
        check_id: randomUUID(),
        up: kind === "up" ? true : kind === "down" ? false : null,
        error: kind === "up" ? null : kind === "down" ? "connect" : kind,
        next_at: random.next() < 0.2 ? null : at(due + random.between(1, 30)),
        tls_expires_at: random.next() < 0.2 ? null : at(Math.round(days * DAY)),
        // Its message is not copied but read.
        labels: random.next() < 0.1 ? { team: "shop" } : null,
      }));
    }
  }
  return checks;
}

function observationOf(metric: Metric, offset: number): Observation {
  const { error, error_detail, status_code } = metric;
  const time = (text: string | null) => text === null ? UNTOLD : Date.parse(text);
  return {
    partition: 0,
    offset,
    address: metric.address,
    location: metric.location,
    due: time(metric.scheduled_at),
    verdict: metric.up === true ? "up" : error === "missed" || error === "removed" ? error : "down",
    nextAt: time(metric.next_at),
    tlsExpiresAt: time(metric.tls_expires_at),
    failure: () => ({ error, errorDetail: error_detail, statusCode: status_code }),
  };
}

it("plans what the rules say of each check in turn, though most checks pass without them", async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = new Random(seed);
  const encoder = new BatchEncoder();
  let [checked, found] = [0, 0];
  for (let round = 0; round < 60; round++) {
    const rules: IncidentSettings = {
      downAfter: random.between(1, 3),
      upAfter: random.between(1, 2),
      places: random.pick([1, 2, "majority"]),
      certificateDays: 21,
    };
    const maintained = { pattern: "https://a.*", starts: START + 1e7, ends: START + 2e7 };
    const windows = new MaintenanceWindows(random.next() < 0.5 ? [maintained] : []);
    const checks = randomChecks(random, 60);
    const states = new Map<string, AddressState>();
    const expected: IncidentChange[] = [];
    checks.forEach((metric, offset) => {
      const check = observationOf(metric, offset);
      const state = states.get(metric.address) ?? UNKNOWN_ADDRESS;
      const inMaintenance = windows.has(check.address, check.due);
      states.set(metric.address, observe(rules, state, check, expected, inMaintenance));
    });
    const tracker = new IncidentTracker(rules, {
      marks: () => Promise.resolve(new Map()),
      states: () => Promise.resolve(new Map()),
      maintenance: () => Promise.resolve(windows),
    });
    const planned: IncidentChange[] = [];
    for (let start = 0; start < checks.length;) {
      const next = Math.min(checks.length, start + random.between(1, 40));
      const entries = checks.slice(start, next).map((metric, i) =>
        new ReceivedEntry({
          ...{ partition: 0, offset: start + i, key: null, timestamp: 0 },
          value: new TextEncoder().encode(encodeMetric(metric)),
        })
      );
      const { checks: slice } = encoder.encodeSlice(entries, TABLES);
      const plan = await tracker.plan(IDENTITY, new Map([[0, { start, next }]]), slice === null ? [] : [slice]);
      plan.settle(true);
      planned.push(...plan.changes);
      start = next;
    }
    checked += checks.length;
    found += expected.length;
    expect(planned, `seed ${seed}, round ${round}`).toEqual(expected);
  }
  expect(checked).toBeGreaterThan(5000);
  expect(found).toBeGreaterThan(200);
});

it("lets a check pass that is newer and up, as long as its place is steady", () => {
  const encoder = new BatchEncoder();
  const steady = new SteadyPlaces();
  const entries = [0, 1, 2, 3].map((minute) =>
    new ReceivedEntry({
      ...{ partition: 0, offset: minute, key: null, timestamp: 0 },
      value: new TextEncoder().encode(encodeMetric(metricWith({ up: true, scheduled_at: at(minute) }))),
    })
  );
  const { checks } = encoder.encodeSlice(entries, TABLES);
  expect(checks?.count).toBe(4);
  const place = checks?.place(0) as number;
  steady.set(place, {
    ...{ location: null, newest: START, nextAt: UNTOLD, isGone: false },
    ...{ outage: null, contradiction: null, certificate: null },
  });
  expect([0, 1, 2, 3].map((i) => checks?.passes(i, steady))).toEqual([false, true, true, true]);
  expect(checks?.passes(2, steady)).toBe(false);
  steady.set(place, null);
  expect(steady.has(place)).toBe(false);
});
