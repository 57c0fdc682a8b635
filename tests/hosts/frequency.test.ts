import { expect, it } from "vitest";
import { frequencyReader, parseFrequency } from "../../lib/hosts/frequency.ts";
import { nextDue } from "../../lib/hosts/schedule.ts";

const NOON = Date.parse("2026-03-01T12:00:00Z");
const DAY = 86_400_000;

it.each([
  ["5", 300_000],
  ["05", 300_000],
  ["0.5", 30_000],
  ["1.25", 75_000],
  ["0.1", 6000],
  ["0.0166666667", 1000],
  ["1s", 1000],
  ["1.5s", 1500],
  ["30s", 30_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
  ["0.5h", 1_800_000],
  ["1d", DAY],
  ["36500d", 36_500 * DAY],
])("parseFrequency reads %s as %i ms", (text, expected) => {
  expect(parseFrequency(text, "UTC")).toEqual({ kind: "interval", text, interval: expected });
});

it("parseFrequency reads a cron expression in double quotes, in its time zone", () => {
  const dues = ["UTC", "America/New_York"].map((zone) => {
    const frequency = parseFrequency('"30 6 * * *"', zone);
    expect(frequency).toMatchObject({ kind: "cron", text: '"30 6 * * *"' });
    return new Date(nextDue(frequency, "a.example", NOON)).toISOString();
  });
  expect(dues).toEqual(["2026-03-02T06:30:00.000Z", "2026-03-02T11:30:00.000Z"]);
});

const forms =
  'write minutes (5, 0.5), a number with a unit (30s, 5m, 2h, 1d) or a cron expression in double quotes ("*/5 * * * *")';

it.each<readonly [string, string]>([
  ...["", "x", "+5", "-5", "1e3", "5e", "0x10", ".5", "5.", "5_000", "5 m", "1ms", "1w", "5min", "٥", "Infinity", "NaN"]
    .map((text) => [text, `"${text}" is no FREQUENCY: ${forms}`] as const),
  ["0,5", '"0,5" is no FREQUENCY: write 0.5'],
  ["1,5h", '"1,5h" is no FREQUENCY: write 1.5h'],
  ["5M", '"5M" is no FREQUENCY: write 5m'],
  ["0.5H", '"0.5H" is no FREQUENCY: write 0.5h'],
  ['"*/5 * * * *', '"*/5 * * * * lacks its closing quote: write "*/5 * * * *"'],
  ['"', '" lacks its closing quote: write "*/5 * * * *"'],
  [
    '""',
    '"" is empty: a cron expression has five fields (minute hour day month weekday), or six with seconds in front',
  ],
])("parseFrequency refuses %j with a SyntaxError", (text, message) => {
  expect(() => parseFrequency(text, "UTC")).toThrow(new SyntaxError(message));
});

it.each([
  ["0", '"0" is less than 1 second: write 1s or more'],
  ["0.999s", '"0.999s" is less than 1 second: write 1s or more'],
  ["0.0166", '"0.0166" is less than 1 second: write 1s or more'],
  ["36501d", '"36501d" is more than 36500 days: write 36500d or less'],
  ["9".repeat(30), `"${"9".repeat(30)}" is more than 36500 days: write 36500d or less`],
])("parseFrequency refuses %s with a RangeError", (text, message) => {
  expect(() => parseFrequency(text, "UTC")).toThrow(new RangeError(message));
});

it("frequencyReader gives equal texts one Frequency", () => {
  const read = frequencyReader("UTC");
  expect(read('"@hourly"')).toBe(read('"@hourly"'));
  expect(read("5m")).toBe(read("5m"));
  expect(read("5m")).not.toBe(read("5"));
});

it("frequencyReader throws a RangeError for a time zone that is not known", () => {
  expect(() => frequencyReader("Mars/Olympus")).toThrow(RangeError);
});
