import { expect, it } from "vitest";
import { compareWithPeers, type Contestant, type Figures, toLines } from "../bench/consumer/contest.ts";
import { compareWithPeer, hostsRow, loadRow, medians, percentile, toJson } from "../bench/producer/rows.ts";

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

it("compareWithPeer compares checks for the same CPU time at the top rate, with blackbox_exporter alone", () => {
  const rows = [
    loadRow("http/blackbox/top", sample(450), true, sample(450)),
    loadRow("http/node/top", sample(150), true, sample(450)),
    loadRow("http/node/half", sample(150), false, sample(300)),
    loadRow("https/deno/top", sample(300), true, sample(450)),
  ];
  expect(compareWithPeer(rows)).toBe(
    "We are 1.50 to 3.00 times the best peer, blackbox_exporter, in checks for the same CPU time at the top rate: " +
      "http/node 3.00, https/deno 1.50",
  );
  expect(compareWithPeer([loadRow("http/node/top", sample(150), true, null)])).toBe(null);
});

/** A run that took so many seconds from its start, and so many from its first row. */
const figures = (seconds: number, steadySeconds: number | null): Figures => ({
  ...{ seconds, cpu: 1, serverCpu: 1, peakRss: 100, peakPss: 80 },
  steady: steadySeconds === null ? null : { rows: 900, seconds: steadySeconds },
});

it("toLines tells rows a second from the start, and from the first row where there were several commits", () => {
  const lines = toLines(new Map([["copy", [figures(2, null)]], ["node", [figures(10, 9), figures(4, 3)]]]), 1000);
  expect(lines).toMatchObject([
    { name: "copy", rows_per_second: 500, first_to_last_per_second: null, peak_rss_mb: 100, peak_pss_mb: 80 },
    { name: "node", rows_per_second: 100, first_to_last_per_second: 300 },
  ]);
});

it("compareWithPeers takes the fastest peer, and is silent without one", () => {
  const contestant = (name: string, kind: Contestant["kind"]): Contestant => {
    return { name, kind, what: "", run: () => Promise.reject(new Error("it is not run")) };
  };
  const contestants = [
    contestant("copy", "yardstick"),
    contestant("node", "ours"),
    contestant("slow", "peer"),
    contestant("fast", "peer"),
  ];
  const results = (...names: string[]) => {
    const seconds: Record<string, number> = { copy: 0.5, node: 3, slow: 9, fast: 4.5 };
    return toLines(new Map(names.map((name) => [name, [figures(10, seconds[name] as number)]])), 1000);
  };
  expect(compareWithPeers(results("copy", "node", "slow", "fast"), contestants)).toBe(
    "We are 1.50 times the best peer, fast, in rows a second from the first to the last: node 1.50",
  );
  expect(compareWithPeers(results("copy", "node"), contestants)).toBe(null);
});
