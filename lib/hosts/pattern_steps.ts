/** Steps of a pattern's program beyond which it is refused. */
export const MOST_STEPS = 10_000;

const ESCAPE = /^\\(?:[pPx]\{[^}]*\}|[pP].|.)/su;
const NAMED_CLASS = /^\[:\^?\w*:\]/;
/**
 * What a class with a name costs beside its step: for the end of `[:` the rest of the pattern is
 * searched, and one of Unicode has hundreds of ranges, which takes 60 µs.
 */
const COSTLY = /\[:|\\[pP]/g;
const COSTLY_STEPS = 10;
/** A group's beginning, with its name or flags. */
const OPENING = /^\((?:\?(?:P?<\w*>|[imsU-]*:?))?/;
/** A group that keeps what it matches has a step at each end. */
const KEEPING = /^\((?:\?P?<\w*>)?$/;
const KEEPING_STEPS = 2;
const REPETITION = /^\{(\d{1,4})(?:,(\d{0,4}))?\}/;

/** A group that is being read. */
interface Group {
  readonly isKept: boolean;
  steps: number;
  /** `^` and `$`; among alternatives that share them they may be one step for all. */
  anchors: number;
  hasAlternatives: boolean;
}

function open(isKept: boolean): Group {
  return { isKept, steps: 0, anchors: 0, hasAlternatives: false };
}

function anchorsOf({ anchors, hasAlternatives }: Group): number {
  return hasAlternatives ? 0 : anchors;
}

/**
 * How many steps the program of a pattern in RE2 syntax has at least, found without making it: 13
 * KB of pattern can make a program of a million steps, which takes a second and 100 MB. Each sign,
 * escape, class and anchor is a step, and so is each end of a group; what is repeated counts that
 * often. Gives any number for what is no pattern.
 */
export function stepsAtLeast(source: string): number {
  const outermost = open(false);
  const groups: Group[] = [];
  let group = outermost;
  /** Steps of what was read last, to which a repetition belongs. */
  let last = 0;
  const add = (steps: number) => {
    group.steps += steps;
    last = steps;
  };
  const close = () => {
    const [inner, outer] = [group, groups.pop()];
    if (outer === undefined) return add(0);
    group = outer;
    // Without anything in it such a group has a step that does nothing.
    if (inner.isKept) return add(KEEPING_STEPS + Math.max(1, inner.steps + anchorsOf(inner)));
    add(inner.steps);
    group.anchors += anchorsOf(inner);
  };
  outermost.steps = (source.match(COSTLY)?.length ?? 0) * COSTLY_STEPS;
  for (let at = 0; at < source.length;) {
    const sign = source[at] as string;
    const times = sign === "{" ? REPETITION.exec(source.slice(at, at + 12)) : null;
    if (times !== null) {
      const [text, least = "", most = least] = times;
      add(last * (Math.max(Number(least), Number(most)) - 1));
      at += text.length;
    } else if (sign === "(") {
      const [opening] = OPENING.exec(source.slice(at, at + 80)) ?? [sign];
      groups.push(group);
      group = open(KEEPING.test(opening));
      at += opening.length;
    } else if (source.startsWith("\\Q", at)) {
      const end = source.indexOf("\\E", at);
      add((end === -1 ? source.length : end) - at - 2);
      at = end === -1 ? source.length : end + 2;
    } else if (sign === ")") {
      close();
      at++;
    } else if (sign === "[") {
      add(1);
      at = endOfClass(source, at);
    } else {
      if (sign === "^" || sign === "$") group.anchors++;
      if (sign === "|") group.hasAlternatives = true;
      add("*+?|^$".includes(sign) ? 0 : 1);
      at += ESCAPE.exec(source.slice(at, at + 40))?.[0].length ?? 1;
    }
  }
  return [...groups, group].reduce((sum, each) => sum + each.steps + anchorsOf(each), 0);
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
