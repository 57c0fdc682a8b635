import { expect, it } from "vitest";
import { parseFrequency } from "../../lib/hosts/frequency.ts";
import { advanceDue, countDue, type Frequency, hashOf, nextDue } from "../../lib/hosts/schedule.ts";

const NOON = Date.parse("2026-03-01T12:00:00Z");
const DAY = 86_400_000;

const interval = (text: string) => parseFrequency(text, "UTC") as Extract<Frequency, { kind: "interval" }>;

it.each(["1s", "1.001s", "30s", "5", "0.1", "7h", "1d", "30d"])(
  "nextDue keeps to its grid: 10,000 ticks of %s are as many intervals, to the millisecond",
  (text) => {
    const frequency = interval(text);
    const first = nextDue(frequency, "https://a.example", NOON);
    let at = first;
    for (let tick = 0; tick < 10_000; tick++) at = nextDue(frequency, "https://a.example", at);
    expect(at - first).toBe(10_000 * frequency.interval);
  },
);

it("nextDue keeps to its grid where every check ends late", () => {
  const frequency = interval("30s");
  const first = nextDue(frequency, "https://a.example", NOON);
  let at = first;
  for (let tick = 0; tick < 10_000; tick++) at = nextDue(frequency, "https://a.example", at + tick * 7919 % 30_000);
  expect(at - first).toBe(10_000 * 30_000);
});

it("nextDue is strictly later than `after`, and at most an interval later", () => {
  const frequency = interval("1s");
  const due = nextDue(frequency, "https://a.example", NOON);
  expect(nextDue(frequency, "https://a.example", due - 1)).toBe(due);
  expect(nextDue(frequency, "https://a.example", due)).toBe(due + 1000);
  expect(nextDue(frequency, "https://a.example", due - 0.5)).toBe(due);
});

it("nextDue is the same after a restart: it depends on address, interval and time alone", () => {
  const times = ["5", "300s"].map((text) => nextDue(interval(text), "https://a.example", NOON));
  // Known values: another version of the program, or another machine, must not move the due times
  // of a host.
  expect(times.map((time) => new Date(time).toISOString())).toEqual(Array(2).fill("2026-03-01T12:00:05.655Z"));
  const later = nextDue(interval("5"), "https://a.example", NOON + 365 * DAY);
  expect((later - (times[0] as number)) % 300_000).toBe(0);
});

it.each([
  ["1s", NOON, 1],
  ["1s", NOON + 999, 1],
  ["1s", NOON + 1000, 2],
  ["1s", NOON + 30 * DAY, 2_592_001],
  ['"* * * * *"', NOON + 59_999, 1],
  ['"* * * * *"', NOON + 60_000, 2],
  ['"0 12 * * *"', NOON + 30 * DAY, 31],
  ['"* * * * * *"', NOON + 3652 * DAY, 3652 * 86_400 + 1],
])("countDue counts the due times of %s from one of them to another time, however many", (text, last, expected) => {
  expect(countDue(parseFrequency(text, "UTC"), NOON, last)).toBe(expected);
});

it.each(["1s", "7h", '"*/7 * * * *"', '"0 12 * * *"'])(
  "advanceDue goes as many due times on as nextDue in a row: %s",
  (text) => {
    const frequency = parseFrequency(text, "UTC");
    const first = nextDue(frequency, "https://a.example", NOON);
    const walked = [first];
    while (walked.length < 150) walked.push(nextDue(frequency, "https://a.example", walked.at(-1) as number));
    for (const steps of [0, 1, 100, 149, 100]) expect(advanceDue(frequency, first, steps)).toBe(walked[steps]);
    expect(advanceDue(frequency, walked[10] as number, 100)).toBe(walked[110]);
  },
);

it("nextDue gives a Date at the longest interval", () => {
  const due = nextDue(interval("36500d"), "https://a.example", NOON);
  expect(new Date(due).getTime()).toBe(due);
});

const addresses: readonly (readonly [string, (index: number) => string])[] = [
  ["numbered hosts", (index) => `https://host${index}.example`],
  ["numbered pages of one host", (index) => `https://a.example/page/${index}`],
  ["fragments of one page", (index) => `a.example/#${index}`],
  [
    "long addresses that differ at the front",
    (index) => `${index}.shop.internal.a.example:8443/health?deep=true&region=eu`,
  ],
];

it.each(
  addresses.flatMap(([name, address]) => ["1s", "30s", "1", "5", "1h", "1d"].map((text) => ({ name, address, text }))),
)(
  "nextDue spreads 1,000 hosts evenly: $name, every $text",
  ({ address, text }) => {
    const frequency = interval(text);
    const slices = new Array<number>(20).fill(0);
    for (let index = 0; index < 1000; index++) {
      const wait = nextDue(frequency, address(index), NOON) - NOON - 1;
      const slice = Math.floor(wait / frequency.interval * slices.length);
      slices[slice] = (slices[slice] ?? NaN) + 1;
    }
    expect(slices.reduce((sum, count) => sum + count)).toBe(1000);
    expect(Math.max(...slices)).toBeLessThan(1.5 * 1000 / slices.length);
  },
);

it.each([
  ["", 6025115681025713],
  ["a", 932483033633974],
  ["https://a.example", 3451523972705655],
  ["grün😀", 4434397063324165],
])("hashOf(%j) never changes, or every host's due times and shard would", (text, hash) => {
  expect(hashOf(text)).toBe(hash);
});

it("hashOf is a whole number that is exact, and differs for like texts", () => {
  const hashes = Array.from({ length: 10_000 }, (_, index) => hashOf(`https://host${index}.example`));
  expect(hashes.every((hash) => Number.isSafeInteger(hash) && hash >= 0)).toBe(true);
  expect(new Set(hashes).size).toBe(10_000);
});
