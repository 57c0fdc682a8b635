import { describe, expect, it } from "vitest";
import { isWritable, NO_FORM, NO_TIME, parseInstant } from "../../lib/config/instant.ts";
import { decodeMetric } from "../../lib/metric.ts";
import { safeParse } from "valibot";
import { kafkaStart } from "../../lib/config/values.ts";

/** The meaning of each text, or the reason why it has none. */
const TIMES: readonly (readonly [text: string, meaning: string])[] = [
  ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000Z"],
  // Forms of other writers: lower case (RFC 3339), no seconds, zones without a colon or minutes
  // (ISO 8601).
  ["2026-03-01t12:00:00z", "2026-03-01T12:00:00.000Z"],
  ["2026-03-01T12:00Z", "2026-03-01T12:00:00.000Z"],
  ["2026-03-01T12:00:00+0130", "2026-03-01T10:30:00.000Z"],
  ["2026-03-01T12:00:00-01", "2026-03-01T13:00:00.000Z"],
  ["2026-03-01T12:00:00-00:00", "2026-03-01T12:00:00.000Z"],
  // Fractions are cut, not rounded: no second may begin early.
  ["2026-03-01T12:00:00.1Z", "2026-03-01T12:00:00.100Z"],
  ["2026-03-01T12:00:00.123999Z", "2026-03-01T12:00:00.123Z"],
  [`2026-12-31T23:59:59.${"9".repeat(1000)}Z`, "2026-12-31T23:59:59.999Z"],
  // Days that exist, and days that do not.
  ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"],
  ["2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"],
  ["2026-02-29T00:00:00Z", NO_TIME],
  ["1900-02-29T00:00:00Z", NO_TIME],
  ["2026-02-30T00:00:00.000Z", NO_TIME],
  ["2026-02-31T00:00:00+01:00", NO_TIME],
  ["2026-04-31T00:00:00.000Z", NO_TIME],
  ["2026-00-01T00:00:00Z", NO_TIME],
  ["2026-13-01T00:00:00Z", NO_TIME],
  ["2026-01-00T00:00:00Z", NO_TIME],
  ["2026-01-32T00:00:00Z", NO_TIME],
  // 24:00 is the end of the day (ISO 8601, PostgreSQL). No later time exists on that day.
  ["2026-02-28T24:00:00Z", "2026-03-01T00:00:00.000Z"],
  ["2026-02-28T24:00:00.000Z", "2026-03-01T00:00:00.000Z"],
  ["2026-02-28T24:00Z", "2026-03-01T00:00:00.000Z"],
  ["2026-02-28T24:00:00.0000001Z", NO_TIME],
  ["2026-02-28T24:00:01Z", NO_TIME],
  ["2026-02-28T24:01:00Z", NO_TIME],
  ["2026-02-28T25:00:00Z", NO_TIME],
  ["2026-02-30T24:00:00Z", NO_TIME],
  ["2026-01-01T00:60:00Z", NO_TIME],
  // A leap second has no millisecond of its own. It would be stored as another time.
  ["2016-12-31T23:59:60Z", NO_TIME],
  ["2026-01-01T00:00:60Z", NO_TIME],
  ["2026-01-01T00:00:61Z", NO_TIME],
  // Zones may have the hours and minutes of a clock (RFC 3339). No place uses all of them.
  ["2026-03-01T12:00:00+14:00", "2026-02-28T22:00:00.000Z"],
  ["2026-03-01T12:00:00-12:00", "2026-03-02T00:00:00.000Z"],
  ["2026-03-01T12:00:00+23:59", "2026-02-28T12:01:00.000Z"],
  ["2026-03-01T12:00:00+24:00", NO_TIME],
  ["2026-03-01T12:00:00+00:60", NO_TIME],
  ["2026-03-01T12:00:00+99:99", NO_TIME],
  // The years of four digits, in UTC.
  ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"],
  ["0050-06-01T00:00:00Z", "0050-06-01T00:00:00.000Z"],
  ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
  ["0000-01-01T00:00:00Z", NO_TIME],
  ["0001-01-01T00:00:00+00:01", NO_TIME],
  ["9999-12-31T23:59:59-00:01", NO_TIME],
  ["9999-12-31T24:00:00Z", NO_TIME],
  ...([
    ...["", "yesterday", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01 12:00:00Z", "2026-3-1T12:00:00Z"],
    ...["2026-03-01T12Z", "2026-03-01T120000Z", "20260301T120000Z", "2026-W09-7T12:00:00Z", "2026-060T12:00:00Z"],
    ...["2026-03-01T12:00:00,5Z", "2026-03-01T12:00:00.Z", "2026-03-01T12:00.5Z", "2026-03-01T12:00:00 Z"],
    ...["2026-03-01T12:00:00Z\n", " 2026-03-01T12:00:00Z", "2026-03-01T12:00:00+1:00", "2026-03-01T12:00:00UTC"],
    ...["+002026-03-01T12:00:00Z", "-2026-03-01T12:00:00Z", "12026-03-01T12:00:00Z", "٢٠٢٦-03-01T12:00:00Z"],
    ...["2026-03-01T12:00:00+01:00:00", "2026-03-01T12:00:00−01:00", "Sun, 01 Mar 2026 12:00:00 GMT"],
  ].map((text) => [text, NO_FORM] as const)),
];

const meaningOf = (parsed: number | string) => typeof parsed === "number" ? new Date(parsed).toISOString() : parsed;

describe("a time as a text", () => {
  it.each(TIMES)("%j is %s", (text, meaning) => {
    expect(meaningOf(parseInstant(text))).toBe(meaning);
  });

  it.each(TIMES)("%j in a metric is %s", (text, meaning) => {
    for (const field of ["scheduled_at", "checked_at", "tls_expires_at"]) {
      const fields = { address: "a", status_code: null, latency: 0, is_valid: false, [field]: text };
      const metric = decodeMetric(new TextEncoder().encode(JSON.stringify(fields)), 0);
      const isTime = !([NO_FORM, NO_TIME] as string[]).includes(meaning);
      expect(metric).toMatchObject(isTime ? { [field]: meaning } : { reason: `${field}: ${meaning}` });
    }
  });

  it.each(TIMES)("%j as --kafka-start is %s, where it is not before 1970 and no day alone", (text, meaning) => {
    const { success, output } = safeParse(kafkaStart, text);
    const time = Date.parse(meaning);
    if (time >= 0) expect(output).toEqual({ time });
    // A day alone is its midnight in UTC.
    else if (/^\d{4}-\d\d-\d\d$/.test(text)) expect(output).toEqual({ time: Date.parse(`${text}T00:00:00Z`) });
    else expect(success).toBe(false);
  });
});

it.each([["2026-02-30"], ["2026-02-29"], ["0000-01-01"], ["1969-12-31"], ["2026-1-1"]])(
  "--kafka-start does not take the day %s",
  (day) => {
    expect(safeParse(kafkaStart, day).success).toBe(false);
  },
);

it.each([
  [0, true],
  [-62_135_596_800_000, true],
  [-62_135_596_800_001, false],
  [253_402_300_799_999, true],
  [253_402_300_800_000, false],
  [8.64e15, false],
  [NaN, false],
])("isWritable of %d is %s", (time, expected) => {
  expect(isWritable(time)).toBe(expected);
});
