import { RE2JS } from "re2js";
import { MOST_STEPS, stepsAtLeast } from "./pattern_steps.ts";

/** A regular expression in RE2 syntax, matched in linear time. */
export interface Pattern {
  /** As it was written. */
  readonly source: string;
  /**
   * Steps of its program: for each byte, RE2 may have to take them all. 1 where JavaScript's engine
   * does it, which is faster by far.
   */
  readonly size: number;
  /** True where it matches anywhere in the text. */
  test(text: string): boolean;
}

/**
 * Patterns that RE2 is sure to take: single signs, escapes and sets of them, repeated or not, in groups one deep. Such
 * a pattern is compiled at its first use only, or 100,000 of them would take seconds at the start, and 500 MB for good.
 */
const PLAIN = (() => {
  const set = String.raw`\[\^?(?:a-z|A-Z|0-9|[\w ])+\]`;
  const sign = String.raw`(?:[^\\^$.|?*+()[\]{}]|\\[.\-/()[\]{}^$|?*+\\dDsSwW]|\.|SET)(?:[*+?]\??|\{\d{1,2}\})?`;
  const signs = String.raw`(?:SIGN|[$^]|\\[bB])*`;
  const whole = String
    .raw`^(?:\(\?[ims]{1,3}\))?(?:SIGNS\((?:\?:)?SIGNS(?:\|SIGNS)*\)(?:[*+?]\??)?)*SIGNS(?:\|SIGNS)*$`;
  return new RegExp(whole.replaceAll("SIGNS", () => signs.replace("SIGN", () => sign.replace("SET", () => set))), "u");
})();
/** RE2 has limits of its own for long patterns. */
const PLAIN_LENGTH = 1000;
const PLAIN_STEPS = 1000;

/**
 * Patterns that spell out what to find, with one choice at most. Both engines mean the same by
 * them; in JavaScript's, nothing can go astray where nothing repeats, and it finds them ten times
 * as fast.
 */
const SPELLED = (() => {
  const signs = String.raw`(?:[^\\^$.|?*+()[\]{}]|\\[.\-/()[\]{}^$|?*+\\])*`;
  return new RegExp(
    `^(?:SIGNS\\((?:\\?:)?SIGNS(?:\\|SIGNS)*\\)SIGNS|SIGNS(?:\\|SIGNS)*)$`.replaceAll("SIGNS", () => signs),
    "u",
  );
})();
/** A long one could still be compared in vain at each place of a page. */
const SPELLED_LENGTH = 200;

/**
 * Programs that are kept compiled, and their steps, of 80 to 300 bytes each. For 100,000 patterns
 * they would take 500 MB; to compile one anew takes 15 µs.
 */
const MOST_PROGRAMS = 1000;
const MOST_STEPS_KEPT = 200_000;

/**
 * Reads a REGEX. Throws a SyntaxError or RangeError that says in plain words what RE2 does not
 * take, and what to write instead.
 */
export function compilePattern(source: string): Pattern {
  return read(source, new Programs());
}

/**
 * `compilePattern` for many: equal sources give the same Pattern, and of all of them only so many
 * are kept compiled.
 */
export function patternReader(): (source: string) => Pattern {
  const known = new Map<string, Pattern>();
  const programs = new Programs();
  return (source) => {
    let pattern = known.get(source);
    if (pattern === undefined) known.set(source, pattern = read(source, programs));
    return pattern;
  };
}

/** Patterns that were read elsewhere, and so are right; of all of them only so many are kept compiled. */
export function patternsOf(): (source: string) => Pattern {
  const programs = new Programs();
  return (source) => new LazyPattern(source, programs);
}

function read(source: string, programs: Programs): Pattern {
  // Before it is compiled: that alone could take a second.
  const steps = stepsAtLeast(source);
  if (steps > MOST_STEPS) throw new RangeError(TOO_LARGE);
  if (source.length > PLAIN_LENGTH || steps > PLAIN_STEPS || !PLAIN.test(source)) compile(source);
  return new LazyPattern(source, programs);
}

const TOO_LARGE = `the REGEX takes more than ${MOST_STEPS} steps: write fewer repetitions, or smaller ones`;

class LazyPattern implements Pattern {
  readonly source: string;
  readonly #programs: Programs;

  constructor(source: string, programs: Programs) {
    this.source = source;
    this.#programs = programs;
  }

  get size(): number {
    return stepsOf(this.#programs.of(this.source));
  }

  test(text: string): boolean {
    return this.#programs.of(this.source).test(text);
  }
}

/** Compiled patterns: those that were used last. */
class Programs {
  readonly #bySource = new Map<string, PatternProgram>();
  #steps = 0;

  of(source: string): PatternProgram {
    const known = this.#bySource.get(source);
    const program = known ?? programOf(source);
    if (known === undefined) this.#steps += stepsOf(program);
    // A Map keeps the order in which things were put in: the first is the one that was not used for longest.
    this.#bySource.delete(source);
    this.#bySource.set(source, program);
    for (const [oldest, old] of this.#bySource) {
      if (oldest === source || (this.#bySource.size <= MOST_PROGRAMS && this.#steps <= MOST_STEPS_KEPT)) break;
      this.#bySource.delete(oldest);
      this.#steps -= stepsOf(old);
    }
    return program;
  }
}

type PatternProgram = RE2JS | RegExp;

function stepsOf(program: PatternProgram): number {
  return program instanceof RE2JS ? program.programSize() : 1;
}

function programOf(source: string): PatternProgram {
  return isSpelledOut(source) ? new RegExp(source) : compile(source);
}

function isSpelledOut(source: string): boolean {
  return source.length <= SPELLED_LENGTH && SPELLED.test(source);
}

function compile(source: string): RE2JS {
  const program = compileAny(source);
  if (program.programSize() > MOST_STEPS) throw new RangeError(TOO_LARGE);
  return program;
}

function compileAny(source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (error) {
    throw new SyntaxError(explain(error, source), { cause: error });
  }
}

/**
 * Where RE2JS and its error agree on what is wrong, in plain words; `part` is the piece of the
 * pattern that it names.
 */
const REASONS: readonly (readonly [description: RegExp, part: RegExp, reason: (part: string) => string])[] = [
  [/Perl syntax/, /^\(\?[=!]/, (part) => `${part} is a lookahead, which cannot be matched in linear time: ${NO_LOOK}`],
  [/named capture/, /^\(\?<[=!]/, (part) => {
    return `${part.slice(0, 4)} is a lookbehind, which cannot be matched in linear time: ${NO_LOOK}`;
  }],
  [/escape|Perl syntax/, /^(\\[1-9kg]|\(\?P=)/, (part) => {
    return `${part} is a back-reference, which cannot be matched in linear time: write out what it repeats`;
  }],
  [/Perl syntax/, /^\(\?>/, () => "(?> is an atomic group, which RE2 syntax lacks: write (?:"],
  [/Perl syntax/, /^\(\?#/, () => "(?# begins a comment, which RE2 syntax lacks: leave it out"],
  [/Perl syntax/, /./, (part) => `${part} is not known: write (?i), (?s), (?m), (?:…) or (?P<name>…)`],
  [/named capture/, /./, (part) => `${part} names no group: write (?P<name>…)`],
  [/duplicate/, /./, (part) => `the name ${part} is given to two groups: name them apart`],
  [/missing closing \)/, /^/, () => "a parenthesis is not closed: add ), or write \\( for the sign itself"],
  [/unexpected \)/, /^/, () => "a parenthesis closes what was not opened: remove ), or write \\) for the sign itself"],
  [/missing closing \]/, /^/, (part) => `${part} is not closed: add ], or write \\[ for the sign itself`],
  [/missing argument/, /./, (part) => `${part} repeats nothing: write \\${part} for the sign itself`],
  [/nested repetition/, /./, (part) => `${part} repeats a repetition: write one of its signs`],
  [/repeat count/, /./, (part) => `${part} repeats too often, or from more to less: 1000 in all is the most`],
  [
    /trailing backslash/,
    /^/,
    () => "a backslash at the end escapes nothing: remove it, or write \\\\ for the sign itself",
  ],
  [/escape/, /./, (part) => `${part} is no escape of RE2 syntax: write ${part.slice(1)} for the sign itself`],
  [/nests too deeply/, /^/, () => "it nests too deeply: 1000 levels are the most"],
  [/too large/, /^/, () => "it is too large: write fewer repetitions, or smaller ones"],
  [/class range/, /./, (part) => `${part} is no range or class of signs that RE2 syntax knows`],
];
const NO_LOOK = "match the text around it as well";

function explain(error: unknown, source: string): string {
  const { message } = error as Error;
  const [, description = message, named = ""] = /^error parsing regexp: (.*?)(?:: `(.*)`)?$/su.exec(message) ?? [];
  const part = named === "(?P" && source.includes("(?P=") ? "(?P=" : named; // RE2JS names less of it than tells what it is.
  const known = REASONS.find(([what, where]) => what.test(description) && where.test(part));
  return known === undefined ? `${source} is not RE2 syntax: ${description} ${part}`.trimEnd() : known[2](part);
}
