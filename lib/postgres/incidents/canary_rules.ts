// What the checks of canaries tell of a place's own network: a pure function of them.

/** A check of a canary, seen from a place. Times are milliseconds since 1970. */
export interface CanaryCheck {
  readonly due: number;
  readonly verdict: "up" | "down" | "removed";
  /** Without a newer check its canary has no voice after this. */
  readonly votesUntil: number;
}

/**
 * "works": a canary was up all the time. "broken": none was. "unclear": one was up, and was not
 * checked again yet. "untold": no canary has a voice.
 */
export type NetworkState = "works" | "broken" | "unclear" | "untold";

/** The state that counts where canaries differ: the first of these that one of them tells. */
const STRONGEST = ["works", "unclear", "broken"] as const;

/**
 * Milliseconds that a check may take. One that was under way when the network went had begun
 * before: a canary that was up at its begin tells nothing.
 */
const LONGEST_CHECK = 10_000;

/**
 * The state of a place's network between two moments, as its canaries tell it, each by its checks in
 * the order of their due times. `isLate`: it is asked later than at `to`, by somebody who does not
 * know yet what the canaries said then.
 */
export function networkBetween(
  canaries: Iterable<readonly CanaryCheck[]>,
  from: number,
  to: number,
  isLate: boolean,
): NetworkState {
  const told = new Set([...canaries].map((checks) => wordOf(checks, from, to, isLate)));
  return STRONGEST.find((word) => told.has(word)) ?? "untold";
}

/** What one canary says. It was up between two checks if both found it up. */
function wordOf(checks: readonly CanaryCheck[], from: number, to: number, isLate: boolean): NetworkState {
  const before = Math.max(0, checks.findLastIndex(({ due }) => due <= from));
  const after = checks.findIndex(({ due }) => due > to);
  const seen = checks.slice(before, after < 0 ? undefined : after + 1);
  const last = seen.at(-1);
  if (last === undefined || after === 0) return "untold";
  if (seen.some(({ verdict }) => verdict === "removed")) return "untold";
  if (!isLate && after < 0 && to > last.votesUntil) return "untold";
  if (seen.some(({ verdict }) => verdict === "down")) return "broken";
  return seen.some(({ due }) => due >= from + LONGEST_CHECK) ? "works" : "unclear";
}
