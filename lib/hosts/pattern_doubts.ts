import { endOfClass } from "./pattern_steps.ts";

/**
 * Why a REGEX that RE2 takes hardly means what its writer thinks, and what to write instead; null: no doubt.
 * What it says of `$` and `^` is sure: that branch of the REGEX matches no text at all.
 */
export function patternDoubt(source: string): string | null {
  const [quote] = QUOTED.exec(source) ?? [];
  if (quote !== undefined) {
    return `the quotes are part of the REGEX, and the page must hold them: leave them out, or write \\${
      quote[0]
    } where they are meant`;
  }
  if (SLASHED.test(source)) {
    return "the slashes are part of the REGEX, and the page must hold them: leave them out, and write (?i) in front for a flag i";
  }
  const anchor = new Reader(source).findDeadAnchor();
  return anchor === null ? null : DEAD[anchor];
}

/** Quotes around all of it, alone or within a group. JSON such as "a":"b" has more of them. */
const QUOTED = /(?<=^\(?)(?:"[^"]*"|'[^']*'|`[^`]*`|“[^“”]*”|„[^„“”]*[“”]|«[^«»]*»)(?=\)?$)/u;
/** `/…/i` of other languages; without a flag it may be a path. */
const SLASHED = /^\/.+\/[gimsuy]{1,6}$|^\/\^.*\/$|^\/.*\$\/$/;

type Anchor = "^" | "$";

const DEAD: Readonly<Record<Anchor, string>> = {
  "$": "$ is the page's end, behind which nothing comes: write \\$ for the sign itself",
  "^": "^ is the page's beginning, before which nothing comes: write \\^ for the sign itself",
};

/** What stands before a place of the pattern, whichever way a match went. */
interface Before {
  /** At least one sign of the page. */
  readonly sign: boolean;
  /** The page's end. */
  readonly end: boolean;
}

/** What a part of the pattern is sure to bring. */
type PatternPart = Before;

const NOTHING: PatternPart = { sign: false, end: false };
const SIGN: PatternPart = { sign: true, end: false };
const REPETITION = /^(?:[*+?]|\{(\d{1,4})(?:,\d{0,4})?\})[?]?/;
const ESCAPE = /^\\(?:[pPx]\{[^}]*\}|[pP].|x..|[0-7]{1,3}|.)/su;
const OPENING = /^\((?:\?(?:P?<\w*>|[imsU-]*(?:[:)]|$)))?/;
const WORD = /^[\p{L}\p{N}]$/u;
const WITHOUT_WIDTH = ["\\b", "\\B", "\\A", "\\z"];

function deadInPage(before: Before, text: string, part: PatternPart): Anchor | null {
  if (text === "^" && before.sign) return "^";
  return part.sign && before.end ? "$" : null;
}

/** An anchor of lines may stand next to a newline, but to no letter and no digit. */
function deadInLines(last: string, text: string): Anchor | null {
  if (text === "^" && WORD.test(last)) return "^";
  return last === "$" && WORD.test(text) ? "$" : null;
}

/** Reads a pattern that RE2 takes, from left to right. */
class Reader {
  readonly #source: string;
  /** With the flag m, anywhere, the anchors may be those of lines. */
  readonly #hasLines: boolean;
  #at = 0;
  #dead: Anchor | null = null;

  constructor(source: string) {
    this.#source = source;
    this.#hasLines = /\(\?[isU]*m/.test(source);
  }

  findDeadAnchor(): Anchor | null {
    if (/[$^]/.test(this.#source)) this.#choice(NOTHING);
    return this.#dead;
  }

  /** Reads branches up to a closing parenthesis; what all of them bring. */
  #choice(before: Before): PatternPart {
    let [sign, end] = [true, true];
    do {
      const branch = this.#branch(before);
      sign &&= branch.sign;
      end &&= branch.end;
    } while (this.#take("|"));
    return { sign, end };
  }

  #branch(before: Before): PatternPart {
    let [sign, end, last] = [false, false, ""];
    while (this.#at < this.#source.length && !/[|)]/.test(this.#source[this.#at] as string)) {
      const here = { sign: before.sign || sign, end: before.end || end };
      const start = this.#at;
      const part = this.#part(here);
      const text = this.#source.slice(start, this.#at);
      const isSure = this.#repeats();
      if (isSure) {
        this.#dead ??= this.#hasLines ? deadInLines(last, text) : deadInPage(here, text, part);
        sign ||= part.sign;
        end ||= part.end;
      }
      last = isSure ? text : "";
    }
    return { sign, end };
  }

  /** One sign, class, escape, anchor or group. */
  #part(before: Before): PatternPart {
    const rest = this.#source.slice(this.#at, this.#at + 200);
    if (this.#take("^")) return NOTHING;
    if (this.#take("$")) return { sign: false, end: true };
    if (rest.startsWith("\\Q")) return this.#quoted();
    if (rest.startsWith("\\")) {
      const [escape = "\\"] = ESCAPE.exec(rest) ?? [];
      this.#at += escape.length;
      return WITHOUT_WIDTH.includes(escape) ? NOTHING : SIGN;
    }
    if (rest.startsWith("[")) {
      this.#at = endOfClass(this.#source, this.#at);
      return SIGN;
    }
    if (!rest.startsWith("(")) {
      this.#at += String.fromCodePoint(rest.codePointAt(0) ?? 0).length;
      return SIGN;
    }
    const [opening = "("] = OPENING.exec(rest) ?? [];
    this.#at += opening.length;
    if (opening.endsWith(")")) return NOTHING;
    const inside = this.#choice(before);
    this.#take(")");
    return inside;
  }

  #quoted(): PatternPart {
    const end = this.#source.indexOf("\\E", this.#at);
    const length = (end === -1 ? this.#source.length : end) - this.#at - 2;
    this.#at += length + (end === -1 ? 2 : 4);
    return length > 0 ? SIGN : NOTHING;
  }

  /** Reads repetitions; false where the part may come no time at all. */
  #repeats(): boolean {
    let isSure = true;
    for (;;) {
      const [text, least] = REPETITION.exec(this.#source.slice(this.#at, this.#at + 14)) ?? [];
      if (text === undefined) return isSure;
      this.#at += text.length;
      if (/^[*?]/.test(text) || Number(least ?? 1) === 0) isSure = false;
    }
  }

  #take(sign: string): boolean {
    if (this.#source[this.#at] !== sign) return false;
    this.#at++;
    return true;
  }
}
