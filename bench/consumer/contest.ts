import { peerLine } from "../peers.ts";
import type { Arena } from "./arena.ts";

/** What one way from topic to table took. */
export interface Figures {
  readonly seconds: number;
  /** Seconds of CPU of the program, and of PostgreSQL for it. */
  readonly cpu: number;
  readonly serverCpu: number;
  /** MB. */
  readonly peakRss: number;
  /** MB, where pages that others share count in part; as seen twice a second. */
  readonly peakPss: number;
  /** Without the start-up; null where all rows came in one commit. */
  readonly steady: Steady | null;
}

/** The rows that came after the first commit, and the seconds from that one to the last. */
export interface Steady {
  readonly rows: number;
  readonly seconds: number;
}

/** One way from topic to table. */
export interface Contestant {
  readonly name: string;
  readonly kind: "yardstick" | "ours" | "peer";
  /** What it is, for a person. */
  readonly what: string;
  /** Why it cannot be had here; null where it can. Fetches what it needs. */
  prepare?(): Promise<string | null>;
  /** Brings all metrics into a new table. */
  run(arena: Arena): Promise<Figures>;
}

/** One line of the result (`--json`); null where it was not compared, or cannot be told. */
export interface Line {
  readonly name: string;
  readonly rows_per_second: number;
  readonly first_to_last_per_second: number | null;
  readonly ratio_copy: number | null;
  readonly ratio_debezium: number | null;
  readonly cpu_us_per_row: number;
  readonly pg_cpu_us_per_row: number;
  readonly peak_rss_mb: number;
  readonly peak_pss_mb: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** The `q`-th part of the values is not above it. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

/** Medians of all runs by contestant, compared with the yardsticks `copy` and `debezium`. */
export function toLines(results: ReadonlyMap<string, readonly Figures[]>, rows: number): Line[] {
  const rate = (name: string) => {
    const runs = results.get(name);
    return runs === undefined ? null : rows / median(runs.map(({ seconds }) => seconds));
  };
  const [copy, debezium] = [rate("copy"), rate("debezium")];
  return Array.from(results, ([name, runs]) => {
    const speed = rate(name) as number;
    const each = (value: (figures: Figures) => number) => median(runs.map(value));
    return {
      name,
      rows_per_second: Math.round(speed),
      first_to_last_per_second: steadyRate(runs),
      ratio_copy: copy && round(speed / copy, 3),
      ratio_debezium: debezium && round(speed / debezium, 3),
      cpu_us_per_row: round(each(({ cpu }) => cpu) * 1e6 / rows, 2),
      pg_cpu_us_per_row: round(each(({ serverCpu }) => serverCpu) * 1e6 / rows, 2),
      peak_rss_mb: round(each(({ peakRss }) => peakRss), 1),
      peak_pss_mb: round(each(({ peakPss }) => peakPss), 1),
    };
  });
}

/** Rows a second from the first commit to the last. */
function steadyRate(runs: readonly Figures[]): number | null {
  const rates = runs.flatMap(({ steady }) => steady === null ? [] : [steady.rows / steady.seconds]);
  return rates.length === 0 ? null : Math.round(median(rates));
}

/** How we compare with the fastest peer; null where one of the two did not run. */
export function compareWithPeers(lines: readonly Line[], contestants: readonly Contestant[]): string | null {
  const rates = (kind: Contestant["kind"]) => {
    const names = contestants.filter((one) => one.kind === kind).map(({ name }) => name);
    return lines.filter(({ name }) => names.includes(name)).flatMap(({ name, first_to_last_per_second: rate }) => {
      return rate === null ? [] : [{ name, rate }];
    });
  };
  const [best] = rates("peer").toSorted((a, b) => b.rate - a.rate);
  if (best === undefined) return null;
  const ratios = rates("ours").map(({ name, rate }) => ({ name, ratio: rate / best.rate }));
  return peerLine(best.name, "rows a second from the first to the last", ratios);
}

/** What incidents cost where none begins or ends; null where one of the two did not run. */
export function costOfIncidents(lines: readonly Line[]): string | null {
  const [without, withThem] = ["statement", "statement-incidents"].map((name) => {
    return lines.find((line) => line.name === name);
  });
  if (without === undefined || withThem === undefined) return null;
  const percent = Math.round(1000 * withThem.rows_per_second / without.rows_per_second) / 10;
  const cpu = round(withThem.cpu_us_per_row - without.cpu_us_per_row, 2);
  const server = round(withThem.pg_cpu_us_per_row - without.pg_cpu_us_per_row, 2);
  return `With incidents, of which none begins or ends, the flush statement stores ${percent} % of the rows a second;\n` +
    `a row costs ${cpu} µs of CPU time more here, and ${server} µs in PostgreSQL.`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
