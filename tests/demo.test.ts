import { expect, it } from "vitest";
import { describe } from "../demo/describe.ts";
import { colourless, paintFor } from "../lib/config/terminal.ts";
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
  const metric = metricWith({ checked_at: new Date(2026, 0, 31, 12, 0, 5).toISOString(), ...some });
  expect(describe(metric, colourless)).toBe(`  12:00:05  ${line}`);
});

it("describe shows DOWN in red, and lets no page give the terminal commands", () => {
  const metric = metricWith({
    checked_at: new Date(2026, 0, 31, 12).toISOString(),
    error: "tls",
    error_detail: "\x1b[2J",
    is_valid: false,
  });
  const line = describe(metric, paintFor(true, {}));
  expect(line.startsWith("  12:00:00  \x1b[31mDOWN  \x1b[39m  200 ")).toBe(true);
  expect(line.endsWith(" tls: \\u001b[2J")).toBe(true);
});
