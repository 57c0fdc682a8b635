import type { HostsRow, LoadRow, Row } from "./rows.ts";

const LOAD: readonly (readonly [heading: string, field: keyof LoadRow])[] = [
  ["load", "name"],
  ["checks/s", "checks_per_second"],
  ["CPU µs/check", "cpu_us_per_check"],
  ["of a core", "core_share"],
  ["late p50 ms", "lateness_p50_ms"],
  ["p99", "lateness_p99_ms"],
  ["max", "lateness_max_ms"],
  ["off by p50 ms", "accuracy_p50_ms"],
  ["p99", "accuracy_p99_ms"],
  ["failed", "failed"],
  ["× blackbox", "ratio_blackbox"],
];
const HOSTS: readonly (readonly [heading: string, field: keyof HostsRow])[] = [
  ["hosts file", "name"],
  ["hosts", "hosts"],
  ["RSS MB", "rss_mb"],
  ["peak MB", "rss_peak_mb"],
  ["first check s", "first_check_s"],
];

/** The rows for a person. */
export function toTable(rows: readonly Row[]): string {
  const many = rows.filter((row) => "hosts" in row);
  const loads = rows.filter((row) => "checks_per_second" in row);
  return [draw(LOAD, loads), draw(HOSTS, many)].filter((table) => table !== "").join("\n");
}

function draw<F extends string>(
  columns: readonly (readonly [heading: string, field: F])[],
  rows: readonly Readonly<Record<F, string | number | null>>[],
): string {
  if (rows.length === 0) return "";
  const cells = [
    columns.map(([heading]) => heading),
    ...rows.map((row) => columns.map(([, field]) => String(row[field] ?? "-"))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)));
  const pad = (cell: string, index: number) => {
    return index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0);
  };
  return cells.map((line) => `${line.map(pad).join("  ")}\n`).join("");
}
