/** A number and the things that it counts, for a person: `1 metric`, `2 metrics`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
