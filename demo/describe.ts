import type { Metric } from "../lib/metric.ts";
import { reasonDown, type State, stateOf } from "../lib/up.ts";

const MARKS: Readonly<Record<State, string>> = { up: "up    ", down: "DOWN  ", unknown: "missed" };

/** One line a check, for a person; one that was missed is neither up nor down. */
export function describe(metric: Metric): string {
  const { address, status_code, latency, error_detail, checked_at } = metric;
  const state = stateOf(metric);
  const time = checked_at?.slice(11, 19) ?? "";
  const status = String(status_code ?? "-").padStart(3);
  const why = state === "up" ? "" : state === "down" ? reasonDown(metric) : error_detail ?? "";
  return `  ${time}  ${MARKS[state]}  ${status}  ${latency.toFixed(3)} s  ${address.padEnd(30)}  ${why}`.trimEnd();
}
