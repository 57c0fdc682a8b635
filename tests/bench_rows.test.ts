import { expect, it } from "vitest";
import { hostsRow, loadRow, medians, percentile, toJson } from "../bench/producer/rows.ts";

const sample = (cpuPerCheck: number, lateness: readonly number[] = [1]) => ({
  ...{ pages: 10, checksPerSecond: 10, cpuPerCheck, cpuShare: 0.5, lateness, errors: [0.5, 4.25], failed: 0 },
});

it.each([
  [[], 0.5, null],
  [[7], 0.99, 7],
  [[3, 1, 2], 0.5, 2],
  [[3, 1, 2, 4], 0.5, 2],
  [Array.from({ length: 200 }, (_, index) => index + 1), 0.99, 198],
  [[1, 2], 1, 2],
])("percentile(%j, %d) is the nearest rank", (values, share, expected) => {
  expect(percentile(values, share)).toBe(expected);
});

it("loadRow compares checks for the same CPU time, and leaves out what says nothing at the top rate", () => {
  expect(loadRow("http/node/half", sample(150), false, sample(450))).toMatchObject({
    ...{ cpu_us_per_check: 150, lateness_p99_ms: 1, accuracy_p99_ms: 4.25, ratio_blackbox: 3 },
  });
  expect(loadRow("http/node/top", sample(150), true, null)).toMatchObject({
    ...{ lateness_p99_ms: null, accuracy_p99_ms: null, ratio_blackbox: null },
  });
});

it("medians takes each figure's median over the runs, and leaves alone what is no figure", () => {
  const run = (cpu: number, late: readonly number[]) => [loadRow("http/node/half", sample(cpu, late), false, null)];
  expect(medians([run(3, [9]), run(1, []), run(2, [7])])).toEqual([
    { ...run(2, [9])[0] },
  ]);
});

it("toJson prints one array with the fields that are promised", () => {
  const loaded = { hosts: 100_000, memory: { settled: 226.4, peak: 230 }, firstCheck: 0.456 };
  const rows = [loadRow("http/node/half", sample(150), false, sample(450)), hostsRow("hosts/node", loaded)];
  expect(JSON.parse(toJson(rows))).toEqual([
    {
      ...{ name: "http/node/half", checks_per_second: 10, cpu_us_per_check: 150 },
      ...{ lateness_p99_ms: 1, accuracy_p99_ms: 4.25, ratio_blackbox: 3 },
    },
    { name: "hosts/node", hosts: 100_000, rss_mb: 226, first_check_s: 0.46 },
  ]);
});
