import { type Colour, type Paint, printableInLine } from "../lib/config/terminal.ts";
import type { Metric } from "../lib/metric.ts";
import { reasonDown, type State, stateOf } from "../lib/postgres/host_state.ts";

const MARKS: Readonly<Record<State, string>> = { up: "up    ", down: "DOWN  ", unknown: "missed" };
const COLOURS: Readonly<Record<State, Colour>> = { up: "green", down: "red", unknown: "yellow" };

/** One line a check, for a person; one that was missed is neither up nor down. */
export function describe(metric: Metric, paint: Paint): string {
  const { address, status_code, latency, error_detail, checked_at } = metric;
  const state = stateOf(metric);
  // Local time, as in the log beside it; Sweden writes it as ISO 8601 does.
  const time = checked_at == null ? "" : new Date(checked_at).toLocaleTimeString("sv-SE");
  const status = String(status_code ?? "-").padStart(3);
  const why = state === "up" ? "" : state === "down" ? reasonDown(metric) : error_detail ?? "";
  const found = printableInLine(`${status}  ${latency.toFixed(3)} s  ${address.padEnd(30)}  ${why}`.trimEnd());
  return `  ${time}  ${paint(MARKS[state], COLOURS[state])}  ${found}`;
}
