import {
  LEFT_TO_RIGHT,
  MAPPED_TO_NOTHING,
  OTHER_SPACES,
  PROHIBITED,
  RIGHT_TO_LEFT,
  UNASSIGNED,
} from "./saslprep_tables.ts";

/**
 * A password, or a name, as SCRAM (RFC 5802) wants it: different ways to type the same characters
 * become one (SASLprep, RFC 4013). As in PostgreSQL, on both sides of the connection, text that
 * SASLprep does not allow stays as it is: a password with an emoji, say, which Unicode 3.2 did not
 * know.
 */
export function saslPrep(text: string): string {
  const mapped = [...text].flatMap((character) => {
    const codePoint = character.codePointAt(0) as number;
    if (OTHER_SPACES(codePoint)) return [" "];
    return MAPPED_TO_NOTHING(codePoint) ? [] : [character];
  });
  const codePoints = mapped.map((character) => character.codePointAt(0) as number);
  const isAllowed = !codePoints.some((codePoint) => PROHIBITED(codePoint) || UNASSIGNED(codePoint));
  return mapped.length > 0 && isAllowed && isOneWay(codePoints) ? mapped.join("").normalize("NFKC") : text;
}

/** RFC 3454, section 6: text with letters from right to left has no others, and begins and ends with them. */
function isOneWay(codePoints: readonly number[]): boolean {
  if (!codePoints.some(RIGHT_TO_LEFT)) return true;
  const ends = [codePoints[0] as number, codePoints.at(-1) as number];
  return ends.every(RIGHT_TO_LEFT) && !codePoints.some(LEFT_TO_RIGHT);
}
