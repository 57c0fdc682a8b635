/**
 * True if the text matches the pattern as a whole: `*` stands for any characters, `?` for any one.
 * Everything else stands for itself, brackets too, which addresses have. It goes back to the last
 * `*` only, so the time grows with the product of the lengths at most.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let [p, t, star, retry] = [0, 0, -1, 0];
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++;
      retry = t;
    } else if (p < pattern.length && (pattern[p] === "?" || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
