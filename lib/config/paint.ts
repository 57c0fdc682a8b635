/** What colours a terminal shows a text in (ECMA-48, SGR). */
const CODES = { red: 31, green: 32, yellow: 33 } as const;
export type Colour = keyof typeof CODES;

/** Gives a text its colour; null: none. */
export type Paint = (text: string, colour: Colour | null) => string;

/** For whoever reads no colours. */
export const colourless: Paint = (text) => text;

const coloured: Paint = (text, colour) => colour === null ? text : `\x1b[${CODES[colour]}m${text}\x1b[39m`;

/** The variables that say whether somebody wants colours; see settings.ts. */
export interface ColourVariables {
  readonly NO_COLOR?: string | undefined;
  readonly FORCE_COLOR?: string | undefined;
  readonly TERM?: string | undefined;
}

/** True where FORCE_COLOR asks for what a terminal shows, whoever reads it. */
export function isForced({ FORCE_COLOR }: ColourVariables): boolean {
  return FORCE_COLOR !== undefined && !["", "0", "false"].includes(FORCE_COLOR);
}

/**
 * Colours for a terminal that has them, unless NO_COLOR (no-color.org) or FORCE_COLOR=0 says no.
 * FORCE_COLOR wins over all else, as it does in Node.
 */
export function paintFor(isTerminal: boolean, variables: ColourVariables): Paint {
  if (isForced(variables)) return coloured;
  const { NO_COLOR = "", FORCE_COLOR = "", TERM = "" } = variables;
  return isTerminal && NO_COLOR === "" && FORCE_COLOR === "" && TERM !== "dumb" ? coloured : colourless;
}
