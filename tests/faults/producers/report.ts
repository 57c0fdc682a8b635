import { percentile99 } from "./account.ts";
import type { FaultLine, ProducerReport } from "./campaign.ts";

const COLUMNS = [
  "fault",
  "strikes",
  "due",
  "rows",
  "missing",
  "twice",
  "stray",
  "beyond",
  "missed",
  "hole",
  "late",
  "unmoved",
  "seconds",
  "cores",
  "MB",
];

/** The report as a table for a person, with the reasons of missed due times below it. */
export function producerTable({ lines }: ProducerReport): string {
  const sorted = lines.toSorted((a, b) => a.fault.localeCompare(b.fault));
  const all = [COLUMNS, ...sorted.map(cells)];
  const widths = COLUMNS.map((_, n) => Math.max(...all.map((row) => row[n]?.length ?? 0)));
  const pad = (row: readonly string[]) =>
    row.map((text, n) => n === 0 ? text.padEnd(widths[n] ?? 0) : text.padStart(widths[n] ?? 0)).join("  ");
  const reasons = sorted.flatMap(({ fault, missed }) =>
    [...missed].map(([why, count]) => `${fault}: ${count} missed, ${why}`)
  );
  return [
    ...all.map(pad),
    "beyond: requests beyond one a due time; hole: the longest time without a check, in seconds;",
    "late: milliseconds that 99 of 100 checks began after their due time, at most;",
    "unmoved: missed due times of hosts that stayed with a producer that was not struck; seconds: of a strike;",
    "cores, MB: the most that one producer took, of those that were there all the time",
    `all faults once: ${roundOf(sorted).toFixed(0)} s`,
    ...reasons,
  ].join("\n");
}

function cells(line: FaultLine): readonly string[] {
  const { fault, times, cores, megabytes } = line;
  const lost = [...line.missed.values()].reduce((sum, count) => sum + count, 0);
  const found = [line.missing, line.twice, line.stray, line.beyond].map(({ length }) => length);
  return [
    fault,
    ...[times, line.due, line.rows, ...found, lost].map(String),
    (line.hole / 1000).toFixed(1),
    percentile99(line.late).toFixed(0),
    String(line.unmoved.length),
    (line.seconds / times).toFixed(0),
    cores?.toFixed(2) ?? "",
    megabytes?.toFixed(0) ?? "",
  ];
}

/** Seconds that all faults take together, each struck once. */
function roundOf(lines: readonly FaultLine[]): number {
  return lines.reduce((sum, { seconds, times }) => sum + seconds / times, 0);
}
