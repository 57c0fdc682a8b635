/** The milliseconds since 1970 of a time, an expression; null where it is infinite. */
export function millisecondsSql(time: string): string {
  return `case when isfinite(${time}) then extract(epoch from ${time}) * 1000 end`;
}

/** One value of an array for PostgreSQL. */
export type ArrayElement = string | number | boolean | null;

const NEEDS_ESCAPE = /["\\]/;
const ESCAPED = /["\\]/g;

/**
 * The values as PostgreSQL writes an array, for a parameter of an array's type (`$1::float8[]`). It
 * costs half of the clients' own arrays, and is the same for each client: a text they pass on as it
 * is. Numbers must be finite. Texts must hold no U+0000, which PostgreSQL refuses.
 */
export function arrayText(values: readonly ArrayElement[]): string {
  return `{${elements(values)}}`;
}

/** The inside of `arrayText`, for arrays that are put together from several pieces. */
export function elements(values: readonly ArrayElement[]): string {
  // Without escapes PostgreSQL reads JSON too, and the runtime writes it several times faster than
  // a loop here would.
  const json = JSON.stringify(values);
  return json.includes("\\") ? values.map(element).join(",") : json.slice(1, -1);
}

function element(value: ArrayElement): string {
  if (value === null) return "NULL";
  if (typeof value !== "string") return String(value);
  return NEEDS_ESCAPE.test(value) ? `"${value.replaceAll(ESCAPED, "\\$&")}"` : `"${value}"`;
}

/**
 * Bytes as base64, for `decode(…, 'base64')`. It is shorter than the hexadecimal form, and nothing
 * in it needs an escape.
 */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** A text that every encoding of PostgreSQL can write: `\u{fc}` stands for `ü`. */
export function ascii(text: string): string {
  return text.replaceAll(/[^\0-\x7f]/gu, (character) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`);
}

/** A text as SQL reads it exactly. */
export function quoteLiteral(text: string): string {
  // With a backslash in it, the E form means the same whatever standard_conforming_strings says.
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

/** A name as SQL reads it exactly, with case, blanks and quotes. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A block of PL/pgSQL as a statement, in a dollar quote that does not stand in it. */
export function doBlock(body: string): string {
  for (let i = 0;; i++) {
    const tag = i === 0 ? "$$" : `$q${i}$`;
    if (!body.includes(tag)) return `do ${tag}\n${body}\n${tag}`;
  }
}
