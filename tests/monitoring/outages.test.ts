import { expect, it } from "vitest";
import type { Metric } from "../../lib/metric.ts";
import { duration, Outages } from "../../lib/monitoring/outages.ts";
import { reasonDown, stateOf } from "../../lib/postgres/host_state.ts";
import { metricWith } from "../support/metrics.ts";

const MISSED = { error: "missed", status_code: null, is_valid: false, latency: 0 };

it.each<readonly [string, Partial<Metric>, string]>([
  ["an answer below 400 that is valid", {}, "up"],
  ["status 399", { status_code: 399 }, "up"],
  ["status 400", { status_code: 400 }, "down"],
  ["a page that does not match", { is_valid: false }, "down"],
  ["an error", { error: "timeout", is_valid: false }, "down"],
  ["an error after a status", { error: "body", status_code: 200, is_valid: false }, "down"],
  ["no status", { status_code: null }, "down"],
  ["the status that stands for none", { status_code: 0 }, "down"],
  ["a check that was missed", MISSED, "unknown"],
])("stateOf: %s is %j", (_, fields, state) => {
  expect(stateOf(metricWith(fields))).toBe(state);
});

it.each<readonly [Partial<Metric>, string]>([
  [{ error: "tls", error_detail: "certificate has expired" }, "tls: certificate has expired"],
  [{ error: "dns" }, "dns"],
  [{ status_code: 503 }, "status 503"],
  [{ is_valid: false }, "the page does not match"],
  [{ status_code: 404, is_valid: false }, "status 404"],
  // The host's options have another status.
  [{ status_code: 200, up: false }, "status 200"],
  [{ status_code: 200, is_valid: false, up: false }, "the page does not match"],
  [{ status_code: null }, "no answer"],
  [{ status_code: 0, is_valid: false }, "no answer"],
])("reasonDown of %j is %j", (fields, reason) => {
  expect(reasonDown(metricWith(fields))).toBe(reason);
});

it("Outages tells each change once, with how long a host was down, and nothing of a check that was missed", () => {
  const outages = new Outages();
  const see = (minute: number, fields: Partial<Metric> = {}) => {
    return outages.see(metricWith({ checked_at: new Date(minute * 60_000).toISOString(), ...fields }))?.message ?? null;
  };
  const down = { error: "connect", error_detail: "connection refused", is_valid: false };
  expect(see(0)).toBe(null);
  expect(see(1, down)).toBe("https://a.example is down: connect: connection refused");
  expect(see(2, down)).toBe(null);
  expect(see(3, MISSED)).toBe(null);
  expect(see(3, { ...down, address: "https://b.example" })).toBe(
    "https://b.example is down: connect: connection refused",
  );
  expect(outages.count).toBe(2);
  expect(see(4.5)).toBe("https://a.example is up again, after 3 min 30 s");
  expect(see(5)).toBe(null);
  outages.forget(["https://b.example"]);
  expect(outages.count).toBe(0);
});

it.each([
  [0, "0 s"],
  [499, "0 s"],
  [59_600, "1 min"],
  [61_000, "1 min 1 s"],
  [3_600_000, "1 h"],
  [2 * 86_400_000 + 5 * 3_600_000 + 60_000, "2 d 5 h"],
  [-5, "0 s"],
])("duration of %d ms is %j", (milliseconds, text) => {
  expect(duration(milliseconds)).toBe(text);
});
