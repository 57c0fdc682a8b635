import { expect, it } from "vitest";
import { latencyText, lengthText, percentText, timeText, upPercent } from "../../lib/page/words.ts";

it.each([
  [0, "0 s"],
  [59_999, "59 s"],
  [725_000, "12 min 5 s"],
  [3_600_000, "1 h"],
  [90_061_000, "1 d 1 h"],
  [-5, "0 s"],
])("lengthText says %d ms as %s", (milliseconds, text) => expect(lengthText(milliseconds)).toBe(text));

it.each([
  [0.0004, "0.4 ms"],
  [0.0123, "12 ms"],
  [0.0996, "100 ms"],
  [0.9994, "999 ms"],
  [0.9996, "1.00 s"],
  [12.345, "12.35 s"],
])("latencyText says %d s as %s", (seconds, text) => expect(latencyText(seconds)).toBe(text));

it("upPercent is 100 only where nothing failed, and null where nothing was checked", () => {
  expect(upPercent({ checks: 1_000_000, up: 999_999 })).toBe(99.99);
  expect(upPercent({ checks: 3, up: 3 })).toBe(100);
  expect(upPercent({ checks: 0, up: 0 })).toBe(null);
  expect([99.9, 100, null].map(percentText)).toEqual(["99.90 %", "100 %", "–"]);
});

it("timeText is UTC's", () => expect(timeText(new Date(Date.UTC(2026, 0, 2, 3, 4, 5)))).toBe("2026-01-02 03:04:05"));
