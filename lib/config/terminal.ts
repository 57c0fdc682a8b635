/**
 * Characters that a terminal obeys instead of showing them. Control characters (ECMA-48): U+009B
 * begins a command as ESC does. Characters that change the direction of the text (Unicode UAX #9),
 * so that a line reads in another order. U+2028 and U+2029, which end a line.
 */
const COMMANDS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/**
 * A text that a terminal shows as it is, whoever wrote it: a command becomes `\u001b` and the like.
 * Newlines and tabs stay.
 */
export function printable(text: string): string {
  return text.replaceAll(COMMANDS, (sign) => sign === "\n" || sign === "\t" ? sign : escaped(sign));
}

/**
 * As `printable`, with newlines and tabs as `\n` and `\t`: for a text that must not leave its line.
 */
export function printableInLine(text: string): string {
  // Nearly every text is, and one look costs a fifth of a search for what is not.
  if (PLAIN.test(text)) return text;
  return text.replaceAll(COMMANDS, (sign) => SHORT[sign] ?? escaped(sign));
}

/**
 * JSON with the same meaning that a terminal shows as it is. JSON itself need not escape all of
 * these characters (RFC 8259, section 7).
 */
export function printableJson(json: string): string {
  return json.replaceAll(COMMANDS, escaped);
}

/** The text, or its beginning where it has more characters than `most`. */
export function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).toWellFormed()}…`;
}

const PLAIN = /^[ -~]*$/;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escaped(sign: string): string {
  return `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** The codes of the colours in which a terminal shows a text (ECMA-48, SGR). */
const CODES = { red: 31, green: 32, yellow: 33 } as const;
export type Colour = keyof typeof CODES;

/** Gives a text its colour; null: none. */
export type Paint = (text: string, colour: Colour | null) => string;

/** For output without colours. */
export const colourless: Paint = (text) => text;

const coloured: Paint = (text, colour) => colour === null ? text : `\x1b[${CODES[colour]}m${text}\x1b[39m`;

/** The variables that tell whether colours are wanted; see environment.ts. */
export interface ColourVariables {
  readonly NO_COLOR?: string | undefined;
  readonly FORCE_COLOR?: string | undefined;
  readonly TERM?: string | undefined;
}

/** True where FORCE_COLOR asks for a terminal's output, whoever reads it. */
export function isForced({ FORCE_COLOR }: ColourVariables): boolean {
  return FORCE_COLOR !== undefined && !["", "0", "false"].includes(FORCE_COLOR);
}

/**
 * Colours for a terminal that has them, unless NO_COLOR (no-color.org) or FORCE_COLOR=0 forbids
 * them. FORCE_COLOR wins over all else, as in Node.
 */
export function paintFor(isTerminal: boolean, variables: ColourVariables): Paint {
  if (isForced(variables)) return coloured;
  const { NO_COLOR = "", FORCE_COLOR = "", TERM = "" } = variables;
  return isTerminal && NO_COLOR === "" && FORCE_COLOR === "" && TERM !== "dumb" ? coloured : colourless;
}
