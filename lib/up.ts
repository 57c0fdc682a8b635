import type { Metric } from "./metric.ts";

/** What a metric says of its host; a check that was missed says nothing. */
export type State = "up" | "down" | "unknown";

/** The contract's word: a whole answer came, its status is below 400, and its body is what it should be. */
export function stateOf({ error, status_code, is_valid }: Metric): State {
  if (error === "missed") return "unknown";
  return error === null && (status_code ?? Infinity) < 400 && is_valid ? "up" : "down";
}

/** Why a host is down, for a person. */
export function reasonDown({ error, error_detail, status_code }: Metric): string {
  if (error !== null) return error_detail === null ? error : `${error}: ${error_detail}`;
  if ((status_code ?? Infinity) >= 400) return `status ${status_code}`;
  return "the page does not match";
}
