/** How many times as much a contestant of ours does as the best peer; the peer does 1. */
export interface Ratio {
  readonly name: string;
  readonly ratio: number;
}

/**
 * The one line that sums a bench up; `measure` says by what they are compared. Null where nothing
 * was compared.
 */
export function peerLine(peer: string, measure: string, ratios: readonly Ratio[]): string | null {
  if (ratios.length === 0) return null;
  const values = ratios.map(({ ratio }) => ratio.toFixed(2)).sort((a, b) => Number(a) - Number(b));
  const times = [...new Set([values[0], values.at(-1)])].join(" to ");
  const each = ratios.map(({ name, ratio }) => `${name} ${ratio.toFixed(2)}`).join(", ");
  return `We are ${times} times the best peer, ${peer}, in ${measure}: ${each}`;
}
