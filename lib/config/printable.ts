/**
 * What a terminal would obey instead of showing it: control characters (ECMA-48), of which U+009B
 * begins a command as ESC does, and those that turn the direction of the text around (Unicode UAX
 * #9), so that a line reads other than it is. U+2028 and U+2029 end a line.
 */
const COMMANDS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/**
 * A text that a terminal shows as it is, whoever wrote it: what is a command becomes `\u001b` and
 * the like. Newlines and tabs stay.
 */
export function printable(text: string): string {
  return text.replaceAll(COMMANDS, (sign) => sign === "\n" || sign === "\t" ? sign : escaped(sign));
}

/** As `printable`, with newlines and tabs as `\n` and `\t`: for what must not leave its line. */
export function printableInLine(text: string): string {
  return text.replaceAll(COMMANDS, (sign) => SHORT[sign] ?? escaped(sign));
}

/**
 * JSON that means the same, and that a terminal shows as it is: JSON itself need not escape all of
 * them (RFC 8259, section 7).
 */
export function printableJson(json: string): string {
  return json.replaceAll(COMMANDS, escaped);
}

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escaped(sign: string): string {
  return `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
