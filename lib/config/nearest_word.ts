/**
 * The word that somebody may have meant who wrote `written`: a few letters differ, or the rest of it
 * is missing. Undefined where no word is near.
 */
export function nearestWord(written: string, words: readonly string[]): string | undefined {
  const [near] = words.map((word) => ({ word, distance: distance(written, word) }))
    .filter(({ word, distance }) => distance <= Math.max(2, word.length / 4) || word.startsWith(`${written}-`))
    .sort((a, b) => a.distance - b.distance);
  return near?.word;
}

/**
 * How many letters must be added, removed or changed to turn one text into the other (Levenshtein).
 */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const change = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
