import { expect, it } from "vitest";
import { describe } from "../demo/describe.ts";
import type { Metric } from "../lib/metric.ts";
import { metricWith } from "./support/metrics.ts";

it.each<readonly [Partial<Metric>, string]>([
  [{}, "up      200  0.100 s  https://a.example"],
  [{ is_valid: false }, "DOWN    200  0.100 s  https://a.example               the page does not match"],
  [{ status_code: 500 }, "DOWN    500  0.100 s  https://a.example               status 500"],
  [
    { status_code: null, is_valid: false, error: "dns", error_detail: "no such name" },
    "DOWN      -  0.100 s  https://a.example               dns: no such name",
  ],
  [
    { status_code: null, is_valid: false, latency: 0, error: "missed", error_detail: "the check before it still ran" },
    "missed    -  0.000 s  https://a.example               the check before it still ran",
  ],
])("describe shows %j as what it is", (some, line) => {
  expect(describe(metricWith({ checked_at: "2026-01-31T12:00:05.004Z", ...some }))).toBe(`  12:00:05  ${line}`);
});
