import { describe, expect, it } from "vitest";
import { cutoffOf, keepText, parseKeep } from "../../lib/config/keep.ts";

describe("parseKeep", () => {
  it.each([
    ["all", "all"],
    ["1day", "1days"],
    ["30days", "30days"],
    ["13 months", "13months"],
    [" 5Years ", "5years"],
    ["99999days", "99999days"],
  ])("reads %j, which is %s", (text, written) => {
    expect(keepText(parseKeep(text))).toBe(written);
    expect(parseKeep(written)).toEqual(parseKeep(text));
  });

  it.each(["", "13", "0days", "13m", "1.5years", "-1days", "days", "13monthss", "100000days", "1000years", "all days"])(
    "refuses %j",
    (text) => {
      expect(() => parseKeep(text)).toThrow(
        new SyntaxError("write so many days, months or years, such as 30days, 13months or 5years, or all"),
      );
    },
  );
});

it.each([
  ["1day", "2026-03-01T12:00:00.000Z", "2026-02-28T12:00:00.000Z"],
  ["13months", "2026-11-29T00:00:00.000Z", "2025-10-29T00:00:00.000Z"],
  ["1month", "2026-03-31T01:02:03.004Z", "2026-02-28T01:02:03.004Z"],
  ["1month", "2028-03-30T00:00:00.000Z", "2028-02-29T00:00:00.000Z"],
  ["1year", "2028-02-29T00:00:00.000Z", "2027-02-28T00:00:00.000Z"],
  ["999years", "2026-11-29T00:00:00.000Z", "1027-11-29T00:00:00.000Z"],
])("%s before %s is %s", (keep, now, cutoff) => {
  expect(new Date(cutoffOf(parseKeep(keep), Date.parse(now))).toISOString()).toBe(cutoff);
});

it("everything is kept without end", () => {
  expect(cutoffOf("all", Date.now())).toBe(-Infinity);
});
