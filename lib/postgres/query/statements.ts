import type { PlacedStatement } from "../database/embedded.ts";

/**
 * The texts in which a semicolon ends no statement, as PostgreSQL reads them ("Lexical Structure").
 * Comments: those between slash and asterisk nest, and are looked for below. Texts: with
 * backslashes if an E stands before. Quoted names. Texts between dollars. A dollar or an E within a
 * word begins none.
 */
const TOKEN =
  /--[^\n]*|\/\*|\b[eE]'(?:[^'\\]|\\.|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|(?<![\p{L}\p{N}_$])\$((?:[\p{L}_][\p{L}\p{N}_]*)?)\$.*?(?:\$\1\$|$)|;/gsu;

/**
 * The statements of a text, split at its semicolons. Parts that hold only comments and blanks are
 * left out. It need not be certain that no statement hides in another: PostgreSQL is given each by
 * itself, and takes no two.
 */
export function splitStatements(text: string): PlacedStatement[] {
  const found: PlacedStatement[] = [];
  let [start, hasWords, from] = [0, false, 0];
  const end = (at: number) => {
    const [before, statement] = [text.slice(0, start), text.slice(start, at)];
    // PostgreSQL counts characters; JavaScript counts two halves for some.
    if (hasWords) found.push({ text: statement, offset: [...before].length });
    hasWords = false;
  };
  const pass = (to: number) => {
    hasWords ||= text.slice(from, to).trim() !== "";
    from = to;
  };
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const [token] = match;
    pass(match.index);
    if (token === ";") {
      end(match.index);
      start = TOKEN.lastIndex;
    } else if (token === "/*") TOKEN.lastIndex = endOfComment(text, match.index);
    else if (!token.startsWith("--")) hasWords = true;
    from = TOKEN.lastIndex;
  }
  pass(text.length);
  end(text.length);
  return found;
}

/** The place behind the comment that begins at `start`; the end of the text if it does not end. */
function endOfComment(text: string, start: number): number {
  let depth = 0;
  for (const { 0: mark, index } of text.slice(start).matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return start + index + mark.length;
  }
  return text.length;
}
