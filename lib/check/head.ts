/** The head of an answer: its status and its header fields. */
export interface Head {
  readonly status: number;
  readonly fields: Fields;
}

/** Why an answer cannot be read, for a person. */
export interface Problem {
  readonly problem: string;
}

/** Header fields, by name in lower case. Values are bytes as Latin-1 text. */
export class Fields {
  readonly #values = new Map<string, string[]>();

  add(name: string, value: string): void {
    const lower = name.toLowerCase();
    const values = this.#values.get(lower);
    if (values === undefined) this.#values.set(lower, [value]);
    else values.push(value);
  }

  /**
   * The value of a field, or the first where it was sent more than once. Null where it was not
   * sent.
   */
  first(name: string): string | null {
    return this.#values.get(name)?.[0] ?? null;
  }

  /** The elements of a field that is a list, from all of its lines (RFC 9110, section 5.6.1). */
  list(name: string): string[] {
    const lines = this.#values.get(name) ?? [];
    return lines.flatMap((line) => line.split(",")).map((element) => element.trim()).filter((element) =>
      element !== ""
    );
  }
}

const STATUS_LINE = /^HTTP\/1\.[0-9][ \t]+(\d{3})(?!\d)/i;

/**
 * Reads the head of an answer (RFC 9112, sections 4 and 5), or says why it is none. It is as
 * tolerant as curl where that is harmless on a connection of one request. Lines may end with LF
 * alone, and values may be folded over several lines. Blanks may stand before a colon, and HTTP may
 * be in lower case. A line without a name counts for nothing.
 */
export function parseHead(text: string): Head | Problem {
  const [statusLine = "", ...lines] = text.split(/\r?\n/);
  const status = STATUS_LINE.exec(statusLine)?.[1];
  if (status === undefined) return { problem: `the answer is not HTTP: ${explainStatusLine(statusLine)}` };
  if (Number(status) < 100) return { problem: `the answer's status is ${status}, which is none` };
  if (text.includes("\0")) return { problem: "a header of the answer holds a zero byte" };
  const fields = new Fields();
  for (const line of unfolded(lines)) {
    const colon = line.indexOf(":");
    if (colon === -1) return { problem: "a header line of the answer has no name with a colon" };
    if (colon > 0) fields.add(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return { status: Number(status), fields };
}

function explainStatusLine(line: string): string {
  if (/^HTTP\/1\.[0-9]/i.test(line)) return "its first line has no status of three digits";
  return /^HTTP\//i.test(line) ? "it is of another version than 1.0 or 1.1" : "it does not begin with HTTP/";
}

/**
 * Header lines without the empty ones. A line that begins with a blank goes on with the line before
 * (RFC 9112, section 5.2).
 */
function unfolded(lines: readonly string[]): string[] {
  const whole: string[] = [];
  for (const line of lines) {
    if (line === "") continue;
    const before = whole.at(-1);
    if (/^[ \t]/.test(line) && before !== undefined) whole[whole.length - 1] = `${before} ${line.trim()}`;
    else whole.push(line);
  }
  return whole;
}

/** How a body ends: by its chunks, with the connection, or after a number of bytes. */
export type Framing = "chunks" | "until the connection ends" | { readonly bytes: number };

/**
 * The framing of the body behind a head (RFC 9112, section 6.3), or why it is unknown, for a
 * person.
 */
export function framingOf({ status, fields }: Head): Framing | Problem {
  if (status === 204 || status === 304) return { bytes: 0 };
  const codings = transferCodings(fields);
  const chunked = codings.indexOf("chunked");
  // Beside chunks a Content-Length does not count (RFC 9112, section 6.3, rule 3).
  if (chunked !== -1 && chunked === codings.length - 1) return "chunks";
  if (chunked !== -1) return { problem: "the answer's Transfer-Encoding does not end with chunked" };
  const lengths = fields.list("content-length");
  if (codings.length > 0 || lengths.length === 0) return "until the connection ends";
  if (lengths.some((text) => !/^\d+$/.test(text))) return { problem: "the answer's Content-Length is no number" };
  const [bytes = 0, ...others] = new Set(lengths.map(Number));
  return others.length === 0 ? { bytes } : { problem: "the answer has two Content-Lengths that differ" };
}

/**
 * The codings of Transfer-Encoding, in the order in which they were applied; `identity` is none.
 * Where a server and a proxy both say `chunked`, they mean it once.
 */
export function transferCodings(fields: Fields): string[] {
  const codings = fields.list("transfer-encoding").map((coding) => coding.toLowerCase());
  const isAgain = (coding: string, at: number) => coding === "chunked" && codings[at - 1] === "chunked";
  return codings.filter((coding, at) => coding !== "identity" && !isAgain(coding, at));
}
