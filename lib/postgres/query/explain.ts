/** Characters that are shown of a long line, and how many of them stand before the place. */
const WIDTH = 80;
const BEFORE = 50;

/**
 * PostgreSQL's own words for a person, as psql prints them: the error, the line of the text with
 * the place in it, and advice.
 */
export function explainFailure(error: Error, sql: string): string {
  const { severity = "ERROR", detail, hint, position } = error as Error & Readonly<Record<string, string | undefined>>;
  return [
    `${severity}:  ${error.message}`,
    ...(position === undefined ? [] : pointAt(sql, Number(position) - 1)),
    ...(detail === undefined ? [] : [`DETAIL:  ${detail}`]),
    ...(hint === undefined ? [] : [`HINT:  ${hint}`]),
  ].join("\n");
}

/**
 * The line of a text in which character number `place` (from 0) stands, and a line with a caret
 * below.
 */
function pointAt(sql: string, place: number): string[] {
  const characters = [...sql.replaceAll(/[\t\r]/g, " ")];
  const start = characters.lastIndexOf("\n", place - 1) + 1;
  const end = characters.indexOf("\n", start);
  const line = characters.slice(start, end < 0 ? undefined : end);
  const number = characters.slice(0, start).filter((sign) => sign === "\n").length + 1;
  const from = line.length <= WIDTH ? 0 : Math.max(0, place - start - BEFORE);
  const to = Math.min(line.length, from + WIDTH);
  const left = `LINE ${number}: ${from > 0 ? "..." : ""}`;
  const shown = `${left}${line.slice(from, to).join("")}${to < line.length ? "..." : ""}`;
  return [shown, `${" ".repeat(left.length + place - start - from)}^`];
}
