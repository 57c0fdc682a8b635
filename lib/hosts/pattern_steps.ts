/** Steps of a pattern's program beyond which it is refused. */
export const MOST_STEPS = 10_000;

const ESCAPE = /^\\(?:[pPx]\{[^}]*\}|[pP].|.)/su;
const NAMED_CLASS = /^\[:\^?\w*:\]/;
/** For the end of each the rest of the pattern is searched, which a thousand of them make long. */
const NAMED_CLASS_STEPS = 10;
/** A group's beginning, with its name or flags. */
const OPENING = /^\((?:\?(?:P?<\w*>|[imsU-]*:?))?/;
const REPETITION = /^\{(\d{1,4})(?:,(\d{0,4}))?\}/;

/**
 * How many steps the program of a pattern in RE2 syntax has at least, found without making it: 13
 * KB of pattern can make a program of a million steps, which takes a second and 100 MB. Each sign,
 * escape and class is a step; what is repeated counts that often. Gives any number for what is no
 * pattern.
 */
export function stepsAtLeast(source: string): number {
  /** Steps of each open group, the outermost first; and of what was read last, to which a repetition belongs. */
  const groups = [(source.split("[:").length - 1) * NAMED_CLASS_STEPS];
  let last = 0;
  const add = (steps: number) => {
    groups[groups.length - 1] = (groups.at(-1) ?? 0) + steps;
    last = steps;
  };
  for (let at = 0; at < source.length;) {
    const sign = source[at] as string;
    const times = sign === "{" ? REPETITION.exec(source.slice(at, at + 12)) : null;
    if (times !== null) {
      const [text, least = "", most = least] = times;
      add(last * (Math.max(Number(least), Number(most)) - 1));
      at += text.length;
    } else if (sign === "(") {
      groups.push(0);
      at += (OPENING.exec(source.slice(at, at + 80)) ?? [sign])[0].length;
    } else if (source.startsWith("\\Q", at)) {
      const end = source.indexOf("\\E", at);
      add((end === -1 ? source.length : end) - at - 2);
      at = end === -1 ? source.length : end + 2;
    } else if (sign === ")") {
      add(groups.length > 1 ? groups.pop() ?? 0 : 0);
      at++;
    } else if (sign === "[") {
      add(1);
      at = endOfClass(source, at);
    } else {
      add("*+?|^$".includes(sign) ? 0 : 1);
      at += ESCAPE.exec(source.slice(at, at + 40))?.[0].length ?? 1;
    }
  }
  return groups.reduce((sum, steps) => sum + steps, 0);
}

/** Behind a class that begins at `start`: a `]` right at its beginning is one of its signs. */
export function endOfClass(source: string, start: number): number {
  let at = start + 1;
  if (source[at] === "^") at++;
  if (source[at] === "]") at++;
  while (at < source.length && source[at] !== "]") {
    if (source[at] === "\\") at += 2;
    else at += NAMED_CLASS.exec(source.slice(at, at + 16))?.[0].length ?? 1;
  }
  return at + 1;
}
