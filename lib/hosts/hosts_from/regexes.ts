/** A REGEX that matches this text, and can be written into a line of a hosts file. */
export function regexOfText(text: string): string {
  return ownField(escaped(text));
}

/** A REGEX that matches a page which is one of these texts, and nothing else. */
export function regexOfWhole(texts: readonly string[]): string {
  const [first = "", ...others] = texts.map(escaped);
  return others.length === 0 ? `^${first}$` : `^(?:${[first, ...others].join("|")})$`;
}

/**
 * A REGEX as another program has it, as a field of a hosts line: without blanks at its ends, where
 * they would be lost, and without a sign that a line cannot hold.
 */
export function regexField(source: string): string {
  return ownField([...source].map((sign) => UNWRITABLE.test(sign) ? escapedSign(sign) : sign).join(""));
}

/** A REGEX without signs that mean something at the beginning of the field, or at its ends. */
function ownField(regex: string): string {
  const ends = regex.replace(/^ +| +$/g, (blanks) => "\\x20".repeat(blanks.length));
  const field = ends.startsWith("#") ? `\\${ends}` : ends;
  // Behind a FREQUENCY they would be its unit.
  return /^[a-z]+$/i.test(field) && field.length <= 7 ? `(${field})` : field;
}

/** Signs with a meaning in a REGEX. Quotes at its ends would be taken for those of another language. */
const SPECIAL = /[\\^$.|?*+()[\]{}]/;
/** Signs that end a line, that a line of UTF-8 cannot hold, or that nobody would see in it. */
const UNWRITABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\uFFFD\t]|(?! )\p{Zs}/u;

function escaped(text: string): string {
  const signs = [...text].map((sign) =>
    UNWRITABLE.test(sign) ? escapedSign(sign) : SPECIAL.test(sign) ? `\\${sign}` : sign
  );
  // Slashes and quotes around all of it look like those of other languages, and are doubted.
  if (/^["'`/]$/.test(signs[0] ?? "")) signs[0] = `\\${signs[0]}`;
  return signs.join("");
}

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapedSign(sign: string): string {
  return SHORT[sign] ?? `\\x{${sign.codePointAt(0)?.toString(16)}}`;
}

/** A REGEX that matches all of a text as a pattern with `*` and `?` does; null where it has classes. */
export function regexOfGlob(glob: string): string | null {
  if (/[[\]\\]/.test(glob)) return null;
  const begin = glob.startsWith("*") ? "" : "^";
  const end = glob.endsWith("*") ? "" : "$";
  const parts = glob.replace(/^\*+|\*+$/g, "").split(/(\*+|\?)/);
  const hasJokers = parts.length > 1;
  const inside = parts.map((part) => /^\*/.test(part) ? ".*" : part === "?" ? "." : escaped(part)).join("");
  return ownField(`${hasJokers ? "(?s)" : ""}${begin}${inside}${end}`);
}
