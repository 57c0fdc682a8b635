import { peerLine } from "../peers.ts";
import type { Loaded } from "./load_many.ts";
import type { Sample } from "./measure.ts";

/**
 * A run under load. `core_share`: of a core, what the checker had of it. `ratio_blackbox`: checks
 * for the same CPU time, blackbox_exporter's being 1.
 */
export interface LoadRow {
  readonly name: string;
  readonly checks_per_second: number;
  readonly cpu_us_per_check: number;
  readonly core_share: number;
  readonly lateness_p50_ms: number | null;
  readonly lateness_p99_ms: number | null;
  readonly lateness_max_ms: number | null;
  readonly accuracy_p50_ms: number | null;
  readonly accuracy_p99_ms: number | null;
  readonly failed: number;
  readonly ratio_blackbox: number | null;
}

/** Many hosts loaded. */
export interface HostsRow {
  readonly name: string;
  readonly hosts: number;
  readonly rss_mb: number;
  readonly rss_peak_mb: number;
  readonly first_check_s: number;
}

export type Row = LoadRow | HostsRow;

/**
 * `isTop`: lateness and accuracy say nothing there, more is due than can be done. `ofBlackbox`: at
 * the same load, null where unknown.
 */
export function loadRow(name: string, sample: Sample, isTop: boolean, ofBlackbox: Sample | null): LoadRow {
  const [lateness, errors] = isTop ? [[], []] : [sample.lateness, sample.errors];
  return {
    name,
    checks_per_second: round(sample.checksPerSecond, 0),
    cpu_us_per_check: round(sample.cpuPerCheck, 0),
    core_share: round(sample.cpuShare, 2),
    lateness_p50_ms: percentile(lateness, 0.5),
    lateness_p99_ms: percentile(lateness, 0.99),
    lateness_max_ms: percentile(lateness, 1),
    accuracy_p50_ms: percentile(errors, 0.5),
    accuracy_p99_ms: percentile(errors, 0.99),
    failed: sample.failed,
    ratio_blackbox: ofBlackbox === null ? null : round(ofBlackbox.cpuPerCheck / sample.cpuPerCheck, 2),
  };
}

export function hostsRow(name: string, { hosts, memory, firstCheck }: Loaded): HostsRow {
  const [rss_mb, rss_peak_mb] = [round(memory.settled, 0), round(memory.peak, 0)];
  return { name, hosts, rss_mb, rss_peak_mb, first_check_s: round(firstCheck, 2) };
}

/** Rows of several runs → one row a name, each figure the median. */
export function medians(runs: readonly (readonly Row[])[]): Row[] {
  return (runs[0] ?? []).map((row) => {
    const same = runs.flatMap((rows) => rows.filter(({ name }) => name === row.name));
    const median = (field: string) => {
      const values = same.map((other) => (other as unknown as Record<string, unknown>)[field]);
      return values.filter((value) => typeof value === "number").sort((a, b) => a - b)[values.length >> 1] ?? null;
    };
    return Object.fromEntries(
      Object.entries(row).map(([field, value]) => [field, typeof value === "number" ? median(field) : value]),
    ) as unknown as Row;
  });
}

/**
 * How many checks we do for the CPU time of one of blackbox_exporter; null where it did not run.
 */
export function compareWithPeer(rows: readonly Row[]): string | null {
  const ratios = rows.flatMap((row) => {
    const [scheme, checker, level] = row.name.split("/");
    if ("hosts" in row || level !== "top" || checker === "blackbox" || row.ratio_blackbox === null) return [];
    return [{ name: `${scheme}/${checker}`, ratio: row.ratio_blackbox }];
  });
  return peerLine("blackbox_exporter", "checks for the same CPU time at the top rate", ratios);
}

const LOAD_FIELDS = [
  "name",
  "checks_per_second",
  "cpu_us_per_check",
  "lateness_p99_ms",
  "accuracy_p99_ms",
  "ratio_blackbox",
] as const;
const HOSTS_FIELDS = ["name", "hosts", "rss_mb", "first_check_s"] as const;

/** The rows for other programs: one JSON array. */
export function toJson(rows: readonly Row[]): string {
  const pick = (row: Row) => {
    const fields = "hosts" in row
      ? HOSTS_FIELDS.map((field) => [field, row[field]])
      : LOAD_FIELDS.map((field) => [field, row[field]]);
    return Object.fromEntries(fields) as unknown;
  };
  return `${JSON.stringify(rows.map(pick), null, 2)}\n`;
}

/** The nearest-rank percentile; null where there are no values. */
export function percentile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  return round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number, 2);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
