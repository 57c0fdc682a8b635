import { CronExpressionParser } from "cron-parser";
import { expect, it } from "vitest";
import { readCron } from "../../lib/hosts/frequency.ts";
import type { Cron } from "../../lib/hosts/schedule.ts";
import { TimeZone } from "../../lib/hosts/zone.ts";
import { Random } from "../support/random.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const iso = (time: number) => new Date(time).toISOString().replace(/:00\.000Z$/, "Z");

/** The due times after `from` and before `to`. */
function dues(text: string, zone: string, from: string, to: string): string[] {
  const cron = readCron(text, new TimeZone(zone));
  const found: string[] = [];
  for (let at = cron.next(Date.parse(from)); at < Date.parse(to); at = cron.next(at)) found.push(iso(at));
  return found;
}

/** The first due times after `from`. */
function firstDues(text: string, zone: string, from: string, count: number): string[] {
  const cron = readCron(text, new TimeZone(zone));
  const found: string[] = [];
  for (let at = Date.parse(from); found.length < count;) found.push(iso(at = cron.next(at)));
  return found;
}

it.each([
  ["*/20 * * * *", ["2026-03-01T12:20Z", "2026-03-01T12:40Z", "2026-03-01T13:00Z"]],
  ["0 12 * * *", ["2026-03-02T12:00Z", "2026-03-03T12:00Z", "2026-03-04T12:00Z"]],
  ["*/30 8-9 * * 1-5", ["2026-03-02T08:00Z", "2026-03-02T08:30Z", "2026-03-02T09:00Z"]],
  ["5,10 0 * * sat,SUN", ["2026-03-07T00:05Z", "2026-03-07T00:10Z", "2026-03-08T00:05Z"]],
  ["0 0 * * 7", ["2026-03-08T00:00Z", "2026-03-15T00:00Z", "2026-03-22T00:00Z"]],
  ["0 0 1 jan,Jul *", ["2026-07-01T00:00Z", "2027-01-01T00:00Z", "2027-07-01T00:00Z"]],
  ["0 0 13 * 5", ["2026-03-06T00:00Z", "2026-03-13T00:00Z", "2026-03-20T00:00Z"]],
  ["0 0 L * *", ["2026-03-31T00:00Z", "2026-04-30T00:00Z", "2026-05-31T00:00Z"]],
  ["0 0 * * 5#2", ["2026-03-13T00:00Z", "2026-04-10T00:00Z", "2026-05-08T00:00Z"]],
  ["0 0 * * friL", ["2026-03-27T00:00Z", "2026-04-24T00:00Z", "2026-05-29T00:00Z"]],
  ["0 ? ? * ?", ["2026-03-01T13:00Z", "2026-03-01T14:00Z", "2026-03-01T15:00Z"]],
  ["*/20 * * * * *", ["2026-03-01T12:00:20.000Z", "2026-03-01T12:00:40.000Z", "2026-03-01T12:01Z"]],
  ["30 0 12 * * *", ["2026-03-01T12:00:30.000Z", "2026-03-02T12:00:30.000Z", "2026-03-03T12:00:30.000Z"]],
  [" 0\t12  *  * * ", ["2026-03-02T12:00Z", "2026-03-03T12:00Z", "2026-03-04T12:00Z"]],
  ["@hourly", ["2026-03-01T13:00Z", "2026-03-01T14:00Z", "2026-03-01T15:00Z"]],
  ["@daily", ["2026-03-02T00:00Z", "2026-03-03T00:00Z", "2026-03-04T00:00Z"]],
  ["@weekly", ["2026-03-08T00:00Z", "2026-03-15T00:00Z", "2026-03-22T00:00Z"]],
  ["@monthly", ["2026-04-01T00:00Z", "2026-05-01T00:00Z", "2026-06-01T00:00Z"]],
  ["@yearly", ["2027-01-01T00:00Z", "2028-01-01T00:00Z", "2029-01-01T00:00Z"]],
  [" @daily ", ["2026-03-02T00:00Z", "2026-03-03T00:00Z", "2026-03-04T00:00Z"]],
])("Cron.next gives the due times of %j in UTC", (text, expected) => {
  expect(firstDues(text, "UTC", "2026-03-01T12:00Z", expected.length)).toEqual(expected);
});

const FORM = "a cron expression has five fields (minute hour day month weekday), or six with seconds in front";
const WORK = "lists (1,5), ranges (1-5) and steps (*/5) of them work";
const MINUTE = `is no minute of a cron expression: write numbers from 0 to 59; ${WORK}`;
const MONTH = `is no month of a cron expression: write numbers from 1 to 12 or names from jan to dec; ${WORK}`;
const WEEKDAY =
  "is no weekday of a cron expression: write numbers from 0 (Sunday) to 7 (Sunday) or names from sun to sat; " +
  WORK;
const tooLong = (step: string, most: number) =>
  `has a step of ${step}, and ${most} are the most here: write a smaller one`;
const random = (name: string) => `lets the ${name} be chosen at random: write a number, such as 7, instead of H`;

it.each([
  ["", `"" is empty: ${FORM}`],
  ["  ", `"  " is empty: ${FORM}`],
  ["*", `"*" has 1 field: ${FORM}`],
  ["5", `"5" has 1 field: ${FORM}`],
  ["* * * *", `"* * * *" has 4 fields: ${FORM}`],
  ["* * * * * * *", `"* * * * * * *" has 7 fields: ${FORM}`],
  ["@often", '"@often" is not known: write @hourly, @daily, @weekly, @monthly or @yearly'],
  ["@Daily", '"@Daily" is not known: write @hourly, @daily, @weekly, @monthly or @yearly'],
  ["@annually", '"@annually" is not known: write @hourly, @daily, @weekly, @monthly or @yearly'],
  ["@minutely", '"@minutely" is not known: write @hourly, @daily, @weekly, @monthly or @yearly'],
  ["@daily 5", '"@daily 5" is not known: write @hourly, @daily, @weekly, @monthly or @yearly'],
  ["60 * * * *", `"60" ${MINUTE}`],
  ["-1 * * * *", `"-1" ${MINUTE}`],
  ["1.5 * * * *", `"1.5" ${MINUTE}`],
  ["5-1 * * * *", `"5-1" ${MINUTE}`],
  ["*/0 * * * *", `"*/0" ${MINUTE}`],
  ["1, * * * *", `"1," ${MINUTE}`],
  ["x * * * *", `"x" ${MINUTE}`],
  ["0x5 * * * *", `"0x5" ${MINUTE}`],
  ["60 * * * * *", `"60" is no second of a cron expression: write numbers from 0 to 59; ${WORK}`],
  ["0 24 * * *", `"24" is no hour of a cron expression: write numbers from 0 to 23; ${WORK}`],
  ["0 0 0 * *", `"0" is no day of the month of a cron expression: write numbers from 1 to 31; ${WORK}`],
  ["0 0 32 * *", `"32" is no day of the month of a cron expression: write numbers from 1 to 31; ${WORK}`],
  ["0 0 * 13 *", `"13" ${MONTH}`],
  ["0 0 * march *", `"march" ${MONTH}`],
  ["0 0 * MARCH *", `"MARCH" ${MONTH}`],
  ["0 0 * * 8", `"8" ${WEEKDAY}`],
  ["0 0 * * thurs", `"thurs" ${WEEKDAY}`],
  ["0 0 * * 1#6", `"1#6" ${WEEKDAY}`],
  ["H * * * *", `"H" ${random("minute")}`],
  ["h * * * *", `"h" ${random("minute")}`],
  ["H/5 * * * *", `"H/5" ${random("minute")}`],
  ["5,H * * * *", `"5,H" ${random("minute")}`],
  ["1-H * * * *", `"1-H" ${random("minute")}`],
  ["*/H * * * *", `"*/H" ${random("minute")}`],
  ["1H * * * *", `"1H" ${random("minute")}`],
  ["HH * * * *", `"HH" ${random("minute")}`],
  ["H(1-5) * * * *", `"H(1-5)" ${random("minute")}`],
  ["H 0 0 * * *", `"H" ${random("second")}`],
  ["0 H * * *", `"H" ${random("hour")}`],
  ["0 0 H * *", `"H" ${random("day of the month")}`],
  ["0 0 * H *", `"H" ${random("month")}`],
  ["0 0 * * H", `"H" ${random("weekday")}`],
  ["0 0 * * THUH", `"THUH" ${WEEKDAY}`],
  ["0xH(1-2) * * * *", `"0xH(1-2)" ${MINUTE}`],
  ["1,1 * * * *", '"1,1" names a minute twice: write each once'],
  ["0 0 1-5,3 * *", '"1-5,3" names a day of the month twice: write each once'],
  ["0 0 * * 0,7", '"0,7" names a weekday twice: write each once'],
  ["*/90 * * * *", `"*/90" ${tooLong("90 minutes", 60)}; or, for every 90 minutes, 90m as FREQUENCY`],
  ["5,*/90 * * * *", `"*/90" ${tooLong("90 minutes", 60)}; or, for every 90 minutes, 90m as FREQUENCY`],
  ["0-10/12 * * * *", `"0-10/12" ${tooLong("12 minutes", 11)}; or, for every 12 minutes, 12m as FREQUENCY`],
  ["5/61 * * * *", `"5/61" ${tooLong("61 minutes", 60)}; or, for every 61 minutes, 61m as FREQUENCY`],
  ["?/61 * * * *", `"?/61" ${tooLong("61 minutes", 60)}; or, for every 61 minutes, 61m as FREQUENCY`],
  ["*/61 * * * * *", `"*/61" ${tooLong("61 seconds", 60)}; or, for every 61 seconds, 61s as FREQUENCY`],
  ["0 */25 * * *", `"*/25" ${tooLong("25 hours", 24)}; or, for every 25 hours, 25h as FREQUENCY`],
  ["0 0 */32 * *", `"*/32" ${tooLong("32 days", 31)}; or, for every 32 days, 32d as FREQUENCY`],
  ["0 0 1 */13 *", `"*/13" ${tooLong("13 months", 12)}`],
  ["0 0 1 jan-mar/4 *", `"jan-mar/4" ${tooLong("4 months", 3)}`],
  ["0 0 * * */8", `"*/8" ${tooLong("8 weekdays", 7)}`],
  ["0 0 * * mon-FRI/6", `"mon-FRI/6" ${tooLong("6 weekdays", 5)}`],
  ["*/99999 * * * *", `"*/99999" ${tooLong("99999 minutes", 60)}`],
  ["5/0 * * * *", `"5/0" ${MINUTE}`],
  ["*/ * * * *", `"*/" ${MINUTE}`],
  ["*/1.5 * * * *", `"*/1.5" ${MINUTE}`],
  ["*/-5 * * * *", `"*/-5" ${MINUTE}`],
  ["0-10/0 * * * *", `"0-10/0" ${MINUTE}`],
  ["0 0 31 2 */2", '"0 0 31 2 */2" is never due: none of its months has such a day'],
  ["0 0 */31 2 1#5", '"0 0 */31 2 1#5" is never due: none of its months has such a day'],
  ["0 0 30 2 *", '"0 0 30 2 *" is never due: none of its months has such a day'],
  ["0 0 31 4,6 *", '"0 0 31 4,6 *" is never due: none of its months has such a day'],
])("Cron refuses %j with a SyntaxError", (text, message) => {
  expect(() => readCron(text, new TimeZone("UTC"))).toThrow(new SyntaxError(message));
});

it.each([
  // Neither of the two fields begins with *: a day must match one of them.
  ["0 0 13 * 5", ["2026-03-06", "2026-03-13", "2026-03-20"]],
  ["0 0 1-2 * 1-5/4", ["2026-03-02", "2026-03-06", "2026-03-09"]],
  ["0 0 30 2 1", ["2027-02-01", "2027-02-08", "2027-02-15"]],
  ["0 0 L * fri#2", ["2026-03-13", "2026-03-31", "2026-04-10"]],
  ["0 0 1 * 0-6", ["2026-03-02", "2026-03-03", "2026-03-04"]],
  // One of the two fields begins with *: a day must match both.
  ["0 0 13 * *", ["2026-03-13", "2026-04-13", "2026-05-13"]],
  ["0 0 * * 5", ["2026-03-06", "2026-03-13", "2026-03-20"]],
  ["0 0 ? * 5", ["2026-03-06", "2026-03-13", "2026-03-20"]],
  ["0 0 */2 * 1", ["2026-03-09", "2026-03-23", "2026-04-13"]],
  ["0 0 13 * */5", ["2026-03-13", "2026-09-13", "2026-11-13"]],
  ["0 0 */10 * */3", ["2026-03-11", "2026-03-21", "2026-04-01"]],
])("Cron.next takes day of the month and weekday together as crontab(5) says: %j", (text, expected) => {
  const found = firstDues(text, "UTC", "2026-03-01T12:00Z", expected.length);
  expect(found).toEqual(expected.map((day) => `${day}T00:00Z`));
});

it.each(["0 0 * * THU", "0 0 * mar-Oct MON,thu"])("Cron takes the names of %j for no H", (text) => {
  expect(readCron(text, new TimeZone("UTC")).next(0)).toBeGreaterThan(0);
});

/** From noon before a change of clocks to noon after it, in UTC. */
const changes = {
  "Europe/Berlin, forward": { zone: "Europe/Berlin", from: "2026-03-28T12:00Z", to: "2026-03-29T12:00Z" },
  "Europe/Berlin, back": { zone: "Europe/Berlin", from: "2026-10-24T12:00Z", to: "2026-10-25T12:00Z" },
  "America/New_York, forward": { zone: "America/New_York", from: "2026-03-07T12:00Z", to: "2026-03-08T12:00Z" },
  "America/New_York, back": { zone: "America/New_York", from: "2026-10-31T12:00Z", to: "2026-11-01T12:00Z" },
  "Africa/Cairo, forward at midnight": { zone: "Africa/Cairo", from: "2026-04-23T12:00Z", to: "2026-04-24T12:00Z" },
  "Africa/Cairo, back to the day before": { zone: "Africa/Cairo", from: "2026-10-29T12:00Z", to: "2026-10-30T12:00Z" },
  "Australia/Lord_Howe, half an hour back": {
    zone: "Australia/Lord_Howe",
    from: "2026-04-04T12:00Z",
    to: "2026-04-05T12:00Z",
  },
} as const;

const quarters = (from: string, count: number) =>
  Array.from({ length: count }, (_, index) => iso(Date.parse(from) + index * HOUR / 4));

it.each<[keyof typeof changes, string, string, string[]]>([
  // The time from 02:00 to 03:00 is skipped, at 01:00Z.
  ["Europe/Berlin, forward", "30 1 * * *", "it was before", ["2026-03-29T00:30Z"]],
  ["Europe/Berlin, forward", "0 2 * * *", "it comes at 03:00", ["2026-03-29T01:00Z"]],
  ["Europe/Berlin, forward", "30 2 * * *", "it comes at 03:30", ["2026-03-29T01:30Z"]],
  ["Europe/Berlin, forward", "30 2,3 * * *", "both are one", ["2026-03-29T01:30Z"]],
  ["Europe/Berlin, forward", "15 2 * * *", "with seconds too", ["2026-03-29T01:15Z"]],
  ["Europe/Berlin, forward", "30 3 * * *", "it is as ever", ["2026-03-29T01:30Z"]],
  ["Europe/Berlin, forward", "*/15 2 * * *", "these were never shown", []],
  ["Europe/Berlin, forward", "*/15 1-3 * * *", "they follow the clocks", quarters("2026-03-29T00:00Z", 8)],
  ["Europe/Berlin, forward", "0 0 * * *", "days are as long as they are", ["2026-03-28T23:00Z"]],
  // The time from 02:00 to 03:00 comes twice: from 00:00Z and from 01:00Z.
  ["Europe/Berlin, back", "30 1 * * *", "it was before", ["2026-10-24T23:30Z"]],
  ["Europe/Berlin, back", "0 2 * * *", "once, the first time", ["2026-10-25T00:00Z"]],
  ["Europe/Berlin, back", "30 2 * * *", "once, the first time", ["2026-10-25T00:30Z"]],
  ["Europe/Berlin, back", "59 2 * * *", "once, the first time", ["2026-10-25T00:59Z"]],
  ["Europe/Berlin, back", "0 3 * * *", "it is as ever", ["2026-10-25T02:00Z"]],
  ["Europe/Berlin, back", "*/15 2 * * *", "they follow the clocks", quarters("2026-10-25T00:00Z", 8)],
  ["Europe/Berlin, back", "*/15 2 25 10 *", "also where the next day is a year away", quarters("2026-10-25T00:00Z", 8)],
  ["Europe/Berlin, back", " 30 2 * * * ", "blanks change nothing", ["2026-10-25T00:30Z"]],
  ["America/New_York, forward", "30 2 * * *", "it comes at 03:30", ["2026-03-08T07:30Z"]],
  ["America/New_York, forward", "30 1 * * *", "it was before", ["2026-03-08T06:30Z"]],
  ["America/New_York, forward", "*/30 1-3 * * *", "they follow the clocks", [
    "2026-03-08T06:00Z",
    "2026-03-08T06:30Z",
    "2026-03-08T07:00Z",
    "2026-03-08T07:30Z",
  ]],
  ["America/New_York, back", "30 1 * * *", "once, the first time", ["2026-11-01T05:30Z"]],
  ["America/New_York, back", "0 2 * * *", "it is as ever", ["2026-11-01T07:00Z"]],
  ["America/New_York, back", "*/30 1 * * *", "they follow the clocks", [
    "2026-11-01T05:00Z",
    "2026-11-01T05:30Z",
    "2026-11-01T06:00Z",
    "2026-11-01T06:30Z",
  ]],
  ["Africa/Cairo, forward at midnight", "@daily", "it comes at 01:00", ["2026-04-23T22:00Z"]],
  ["Africa/Cairo, forward at midnight", "0 0 24 4 *", "it comes at 01:00", ["2026-04-23T22:00Z"]],
  ["Africa/Cairo, back to the day before", "@daily", "once, the first time", ["2026-10-29T22:00Z"]],
  ["Africa/Cairo, back to the day before", "30 23 29 * *", "once, the first time", ["2026-10-29T20:30Z"]],
  [
    "Africa/Cairo, back to the day before",
    "30 * 29 10 *",
    "the day has 25 hours",
    Array.from({ length: 10 }, (_, index) => `2026-10-29T${12 + index}:30Z`),
  ],
  ["Australia/Lord_Howe, half an hour back", "45 1 * * *", "once, the first time", ["2026-04-04T14:45Z"]],
  [
    "Australia/Lord_Howe, half an hour back",
    "*/15 1 * * *",
    "they follow the clocks",
    quarters("2026-04-04T14:00Z", 6),
  ],
])("Cron.next where clocks change (%s): %s, %s", (change, text, _, expected) => {
  const { zone, from, to } = changes[change];
  expect(dues(text, zone, from, to)).toEqual(expected);
});

it.each(["0 * * * *", "@hourly", "*/60 * * * *"])(
  "Cron.next gives %s every hour in zones whose clocks change by one, all year",
  (text) => {
    for (const zone of ["Europe/Berlin", "America/New_York"]) {
      const hours = dues(text, zone, "2025-12-31T23:30Z", "2027-01-01T00:00Z").map((due) => Date.parse(due));
      const start = Date.parse("2026-01-01T00:00Z");
      expect(hours).toEqual(Array.from({ length: 365 * 24 }, (_, index) => start + index * HOUR));
    }
  },
);

it.each(["Europe/Berlin", "America/New_York"])("Cron.next gives a time of day once a day in %s, all year", (zone) => {
  for (const text of ["30 2 * * *", "0 1 * * *", "@daily"]) {
    const found = dues(text, zone, "2026-01-01T12:00Z", "2027-01-01T12:00Z").map((due) => Date.parse(due));
    expect(found.length).toBe(365);
    const gaps = found.slice(1).map((due, index) => due - (found[index] ?? NaN));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(DAY - HOUR);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(DAY + HOUR);
  }
});

it.each([
  ["0 0 1 1 *", "Europe/Berlin", ["2026-12-31T23:00Z", "2027-12-31T23:00Z", "2028-12-31T23:00Z"]],
  ["@yearly", "America/New_York", ["2027-01-01T05:00Z", "2028-01-01T05:00Z", "2029-01-01T05:00Z"]],
  ["0 12 1 7 *", "Europe/Berlin", ["2026-07-01T10:00Z", "2027-07-01T10:00Z", "2028-07-01T10:00Z"]],
  ["30 2 29 3 *", "Europe/Berlin", ["2026-03-29T01:30Z", "2027-03-29T00:30Z", "2028-03-29T00:30Z"]],
  ["0 12 29 2 *", "UTC", ["2028-02-29T12:00Z", "2032-02-29T12:00Z", "2036-02-29T12:00Z"]],
  ["0 12 29 2 *", "Europe/Berlin", ["2028-02-29T11:00Z", "2032-02-29T11:00Z", "2036-02-29T11:00Z"]],
  ["0 0 29 2 */7", "UTC", ["2032-02-29T00:00Z", "2060-02-29T00:00Z", "2088-02-29T00:00Z"]],
  ["0 0 * 2 1#5", "America/New_York", ["2044-02-29T05:00Z", "2072-02-29T05:00Z", "2112-02-29T05:00Z"]],
])("Cron.next looks years ahead: %s in %s", (text, zone, expected) => {
  expect(firstDues(text, zone, "2026-03-01T12:00Z", expected.length)).toEqual(expected);
});

it("Cron.next knows that 2100 has no 29 February", () => {
  expect(firstDues("0 0 29 2 *", "UTC", "2095-01-01T00:00Z", 2)).toEqual(["2096-02-29T00:00Z", "2104-02-29T00:00Z"]);
});

it("Cron.next is strictly later than `after`, to the millisecond", () => {
  const noon = Date.parse("2026-03-01T12:00Z");
  const next = (after: number) => iso(readCron("0 12 * * *", new TimeZone("UTC")).next(after));
  expect([noon - 1, noon, noon + 1].map(next)).toEqual(["2026-03-01T12:00Z", "2026-03-02T12:00Z", "2026-03-02T12:00Z"]);
});

it("Cron.next answers many hosts in any order as it answers each alone", () => {
  const zone = new TimeZone("Europe/Berlin");
  const shared = readCron("*/10 1-4 * * *", zone);
  const start = Date.parse("2026-03-28T20:00Z");
  // A step without a common divisor with the number of times visits each of them once, in a mixed
  // order.
  const times = Array.from({ length: 500 }, (_, index) => start + (index * 137 % 500) * HOUR / 20 + index);
  const alone = times.map((time) => readCron("*/10 1-4 * * *", new TimeZone("Europe/Berlin")).next(time));
  expect(times.map((time) => shared.next(time))).toEqual(alone);
});

const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia"];
const SEED = Date.now() % 2 ** 31;

const below = (random: Random, limit: number) => random.between(0, limit - 1);

/** A field of a cron expression, with values from `least` to `most`. */
function anyField(random: Random, least: number, most: number, forms: readonly string[]): string {
  const [low, high] = [least + below(random, most - least + 1), least + below(random, most - least + 1)].sort((a, b) =>
    a - b
  );
  const range = `${low}-${high}`;
  const step = 1 + below(random, (high as number) - (low as number) + 1);
  const texts: Record<string, string> = {
    ...{ star: "*", one: `${low}`, list: low === high ? `${low}` : `${low},${high}`, range },
    ...{ steps: `${range}/${step}`, star_steps: `*/${1 + below(random, most - least + 1)}` },
  };
  return texts[random.pick(forms)] as string;
}

const FORMS = ["star", "one", "list", "range", "steps"];
function anyCron(random: Random, dayForms = FORMS): string {
  const time = [...FORMS, "star_steps"];
  const seconds = below(random, 3) === 0 ? [anyField(random, 0, 59, time)] : [];
  const [minute, hour] = [anyField(random, 0, 59, time), anyField(random, 0, 23, time)];
  const day = anyField(random, 1, 28, dayForms);
  const month = below(random, 2) === 0 ? "*" : anyField(random, 1, 12, time);
  return [...seconds, minute, hour, day, month, anyField(random, 0, 6, dayForms)].join(" ");
}

it(`Cron.next is what cron-parser walks to (seed ${SEED})`, () => {
  const random = new Random(SEED);
  for (let round = 0; round < 300; round++) {
    const text = anyCron(random);
    const from = Date.UTC(2024 + below(random, 8), below(random, 12), 1 + below(random, 28)) + below(random, DAY);
    const walker = CronExpressionParser.parse(text, { tz: "UTC", currentDate: new Date(from) });
    const walked = Array.from({ length: 10 }, () => iso(walker.next().getTime()));
    expect([text, firstDues(text, "UTC", iso(from), 10)]).toEqual([text, walked]);
  }
});

it(`Cron.count is how many times Cron.next comes by, also where clocks change (seed ${SEED})`, () => {
  const random = new Random(SEED);
  const instants = Object.values(changes).map(({ to }) => Date.parse(to)).concat(Date.parse("2011-12-30T10:00Z"));
  for (let round = 0; round < 400; round++) {
    const [text, zone] = [anyCron(random, [...FORMS, "star_steps"]), random.pick(ZONES)];
    const cron = cronOrNull(text, new TimeZone(zone));
    if (cron === null) continue;
    const after = random.pick(instants) - below(random, 2 * DAY);
    let [walked, last] = [0, after];
    // Up to a due time, just before it, just after it, and anywhere.
    for (const most = below(random, 400); walked < most && last < after + 400 * DAY; walked++) last = cron.next(last);
    expect([text, zone, after, last, cron.count(after, last)]).toEqual([text, zone, after, last, walked]);
    const next = cron.next(last);
    expect([text, zone, after, cron.count(after, next - 1)]).toEqual([text, zone, after, walked]);
    expect([text, zone, after, cron.count(after, next)]).toEqual([text, zone, after, walked + 1]);
  }
});

function cronOrNull(text: string, zone: TimeZone): Cron | null {
  try {
    return readCron(text, zone);
  } catch (error) {
    expect((error as Error).message).toContain("is never due");
    return null;
  }
}

it("Cron.count counts a century of seconds", () => {
  const [from, to] = [Date.parse("2000-01-01T00:00Z"), Date.parse("2100-01-01T00:00Z")];
  for (const zone of ZONES.slice(0, 3)) {
    expect(readCron("* * * * * *", new TimeZone(zone)).count(from, to)).toBe((to - from) / 1000);
  }
  expect(readCron("30 2 * * *", new TimeZone("Europe/Berlin")).count(from, to)).toBe((to - from) / DAY);
});

it.each([
  ["Europe/Berlin", "2026-07-01T12:00Z", "2026-03-29T01:00Z", "2026-10-25T01:00Z", 2, 1],
  ["Europe/Berlin", "2026-03-29T01:00Z", "2026-03-29T01:00Z", "2026-10-25T01:00Z", 2, 1],
  ["Europe/Berlin", "2026-03-29T00:59:59.999Z", "2025-10-26T01:00Z", "2026-03-29T01:00Z", 1, 2],
  ["America/New_York", "2026-12-01T00:00Z", "2026-11-01T06:00Z", "2027-03-14T07:00Z", -5, -4],
  ["Australia/Lord_Howe", "2026-12-01T00:00Z", "2026-10-03T15:30Z", "2027-04-03T15:00Z", 11, 10.5],
  ["Pacific/Apia", "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2012-03-31T14:00Z", 14, -10],
])(
  "TimeZone.stretchAt(%s, %s) is the stretch from one change of clocks to the next",
  (name, time, start, end, offset, before) => {
    expect(new TimeZone(name).stretchAt(Date.parse(time))).toEqual({
      start: Date.parse(start),
      end: Date.parse(end),
      offset: offset * HOUR,
      before: before * HOUR,
    });
  },
);

it.each([["UTC", 0], ["Asia/Kathmandu", 5.75], ["America/Phoenix", -7]])(
  "TimeZone.stretchAt of %s, whose clocks are never changed, is more than a year on both sides",
  (name, hours) => {
    const now = Date.parse("2026-03-01T12:00:00.123Z");
    const { start, end, offset, before } = new TimeZone(name).stretchAt(now);
    expect([offset, before]).toEqual([hours * HOUR, hours * HOUR]);
    expect(start).toBeLessThan(now - 366 * DAY);
    expect(end).toBeGreaterThan(now + 366 * DAY);
  },
);

it("TimeZone.stretchAt finds stretches as short as Ramadan in Morocco", () => {
  const { start, end, offset } = new TimeZone("Africa/Casablanca").stretchAt(Date.parse("2026-03-01T12:00Z"));
  expect([iso(start), iso(end), offset]).toEqual(["2026-02-15T02:00Z", "2026-03-22T02:00Z", 0]);
});

it("TimeZone refuses a name that is no zone with a RangeError", () => {
  expect(() => new TimeZone("Mars/Olympus")).toThrow(RangeError);
});
