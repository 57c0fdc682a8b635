import { Chunks } from "./chunks.ts";
import { Failure } from "./failure.ts";

/** Longest head of an answer, in bytes: that of Chrome. */
const MAX_HEAD_BYTES = 256 * 1024;
/** Informational answers (1xx) before the answer itself. */
const MAX_INFORMATIONAL = 5;
/** Bytes of one answer as they come, framing and all. A page of 1 MiB in chunks of one byte has 6 MiB. */
const MAX_RAW_BYTES = 8 * 1024 * 1024;
/**
 * Pieces in which an answer comes: each costs some 30 µs, however small it is. A page of 1 MiB in
 * packets has some 750.
 */
const MAX_PIECES = 10_000;

const LF = 10;
const CR = 13;

/** Told what an answer holds, in its order. */
export interface AnswerEvents {
  /** The head of the answer itself, informational ones left out. */
  head(head: Head): void;
  /** Bytes of the body, after the framing of chunks was taken away. */
  body(bytes: Buffer): void;
  /** The answer is whole. */
  end(): void;
}

/** How a connection ended before the answer did: within the body, before it, or without a byte. */
const BROKEN = {
  closed: {
    within: "connection was closed within the body",
    before: "connection was closed within the answer's headers",
    without: "connection was closed without an answer",
  },
  reset: {
    within: "connection was reset within the body",
    before: "connection was reset within the answer's headers",
    without: "connection was reset without an answer",
  },
} as const;

/** What comes next. */
type ParserState = "head" | "body" | "chunks" | "over";

/**
 * Takes an HTTP/1 answer apart as its bytes come (RFC 9112). Knows nothing of sockets. Bytes and
 * pieces are bounded, and with them the processor's time that a hostile site can take from the
 * checks of others.
 */
export class AnswerParser {
  readonly #events: AnswerEvents;
  readonly #hasBody: boolean;
  readonly #chunks = new Chunks();
  #state: ParserState = "head";
  #head = new GrowingBuffer();
  /** Where the line under way begins in `#head`, and up to where line ends were looked for. */
  #lineStart = 0;
  #scanned = 0;
  #informational = 0;
  /** Bytes still to come of a body whose length is known; null where the end of the connection ends it. */
  #left: number | null = null;
  #rawBytes = 0;
  #pieces = 0;

  /** `hasBody` is false where the request was HEAD: then the head is all that comes. */
  constructor(events: AnswerEvents, hasBody = true) {
    this.#events = events;
    this.#hasBody = hasBody;
  }

  /** Takes the next bytes, which may be overwritten; gives why the answer cannot be read, or null. */
  push(piece: Buffer): Failure | null {
    if (this.#state === "over") return null;
    this.#rawBytes += piece.length;
    this.#pieces++;
    return this.#take(piece) ?? (this.#isOver() ? null : this.#judgeSize());
  }

  /** The other side has ended the connection; gives why that is no proper end of the answer, or null. */
  close(): Failure | null {
    if (this.#state === "over") return null;
    if (this.#state !== "body" || this.#left !== null) return this.broken("closed");
    this.#end();
    return null;
  }

  /** Why the answer is not whole where its connection was closed or reset now. */
  broken(how: keyof typeof BROKEN): Failure {
    const { within, before, without } = BROKEN[how];
    if (this.#state !== "head") return new Failure("body", within);
    return new Failure("protocol", this.#rawBytes > 0 ? before : without);
  }

  #isOver(): boolean {
    return this.#state === "over";
  }

  #end(): void {
    this.#state = "over";
    this.#events.end();
  }

  #judgeSize(): Failure | null {
    const error = this.#state === "head" ? "protocol" : "body";
    if (this.#rawBytes > MAX_RAW_BYTES) {
      return new Failure(error, `the answer has more than ${MAX_RAW_BYTES / 1024 / 1024} MiB on its way`);
    }
    return this.#pieces > MAX_PIECES ? new Failure(error, `the answer comes in more than ${MAX_PIECES} pieces`) : null;
  }

  #take(piece: Buffer): Failure | null {
    if (this.#state === "body") return this.#takeBody(piece);
    if (this.#state === "chunks") return this.#takeChunks(piece);
    this.#head.append(piece);
    return this.#takeHead();
  }

  /** Looks for the empty line behind a head. */
  #takeHead(): Failure | null {
    const { bytes } = this.#head;
    for (let end = bytes.indexOf(LF, this.#scanned); end !== -1; end = bytes.indexOf(LF, end + 1)) {
      const start = this.#lineStart;
      this.#lineStart = end + 1;
      const isEmpty = end === start || (end === start + 1 && bytes[start] === CR);
      if (!isEmpty) continue;
      // Empty lines before a head mean nothing (RFC 9112, section 2.2).
      const text = bytes.toString("latin1", 0, start).replace(/^[\r\n]+/, "");
      if (text !== "") return this.#endHead(text, bytes.subarray(end + 1));
    }
    this.#scanned = bytes.length;
    if (bytes.length > MAX_HEAD_BYTES) return new Failure("protocol", LONG_HEAD);
    // A server that speaks something else may wait for an answer now: that is said at once.
    const beginning = bytes.toString("latin1", 0, 64).replace(/^[\r\n]+/, "").slice(0, NAME.length);
    return NAME.startsWith(beginning.toUpperCase()) ? null : new Failure("protocol", NOT_HTTP);
  }

  #endHead(text: string, rest: Buffer): Failure | null {
    this.#head = new GrowingBuffer();
    this.#lineStart = this.#scanned = 0;
    if (text.length > MAX_HEAD_BYTES) return new Failure("protocol", LONG_HEAD);
    const head = parseHead(text);
    if ("problem" in head) return new Failure("protocol", head.problem);
    const failure = head.status < 200 ? this.#beginAgain(head) : this.#begin(head);
    if (failure !== null || rest.length === 0 || this.#isOver()) return failure;
    return this.#take(rest);
  }

  #beginAgain({ status }: Head): Failure | null {
    if (status === 101) {
      return new Failure("protocol", "the answer is 101 Switching Protocols, which nobody asked for");
    }
    if (++this.#informational <= MAX_INFORMATIONAL) return null;
    return new Failure("protocol", `more than ${MAX_INFORMATIONAL} informational answers (1xx) came before the answer`);
  }

  #begin(head: Head): Failure | null {
    const framing = this.#hasBody ? framingOf(head) : NO_BODY;
    if (typeof framing === "object" && "problem" in framing) return new Failure("protocol", framing.problem);
    this.#state = framing === "chunks" ? "chunks" : "body";
    this.#left = typeof framing === "object" ? framing.bytes : null;
    this.#events.head(head);
    if (this.#left === 0) this.#end();
    return null;
  }

  #takeBody(piece: Buffer): Failure | null {
    const part = this.#left === null ? piece : piece.subarray(0, this.#left);
    if (this.#left !== null) this.#left -= part.length;
    this.#events.body(part);
    if (this.#left === 0) this.#end();
    return null;
  }

  #takeChunks(piece: Buffer): Failure | null {
    const part = this.#chunks.take(piece);
    if (typeof part === "string") return new Failure("body", part);
    if (part.length > 0) this.#events.body(part);
    if (this.#chunks.areOver) this.#end();
    return null;
  }
}

const LONG_HEAD = `the answer's headers are longer than ${MAX_HEAD_BYTES / 1024} KiB`;
/** What every answer begins with. */
const NAME = "HTTP/";
const NOT_HTTP = `the answer is not HTTP: it does not begin with ${NAME}`;

/** The head of an answer: its status and its header fields. */
export interface Head {
  readonly status: number;
  /** The first line, as it came. */
  readonly line: string;
  readonly fields: Fields;
}

/** Why an answer cannot be read, for a person. */
interface Problem {
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

  /** The names, and the values of each. */
  entries(): Iterable<readonly [name: string, values: readonly string[]]> {
    return this.#values;
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
function parseHead(text: string): Head | Problem {
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
  return { status: Number(status), line: statusLine, fields };
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
type Framing = "chunks" | "until the connection ends" | { readonly bytes: number };

const NO_BODY = { bytes: 0 };

/**
 * The framing of the body behind a head (RFC 9112, section 6.3), or why it is unknown, for a
 * person.
 */
function framingOf({ status, fields }: Head): Framing | Problem {
  if (status === 204 || status === 304) return NO_BODY;
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

/**
 * Bytes that come in pieces, in one buffer that doubles when it is full. So many small pieces cost
 * no object each. A buffer that is full is given back at once. Left to the collector, pages of a
 * MiB would have the whole memory cleared again and again.
 */
export class GrowingBuffer {
  #bytes: Uint8Array = new Uint8Array(0);
  /** The memory of `#bytes`, where it is this buffer's own. */
  #own: ArrayBuffer | null = null;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** All bytes so far; valid until the next `append`. */
  get bytes(): Buffer {
    return view(this.#bytes.subarray(0, this.#length));
  }

  /** The first `most` bytes in memory that is all theirs. Nothing is left here. */
  end(most: number): Buffer {
    const length = Math.min(most, this.#length);
    if (this.#own === null) return view(this.#bytes.subarray(0, length));
    return view(new Uint8Array(this.#own.transfer(length)));
  }

  /** The first piece is taken without a copy: most answers come in one piece. */
  append(piece: Buffer): void {
    if (this.#length === 0) this.#bytes = piece;
    else {
      const length = this.#length + piece.length;
      if (length > this.#bytes.length) this.#grow(Math.max(length, 2 * this.#bytes.length, 4096));
      this.#bytes.set(piece, this.#length);
    }
    this.#length += piece.length;
  }

  #grow(size: number): void {
    const before = this.#bytes;
    const isOwn = this.#own !== null;
    this.#own = this.#own?.transfer(size) ?? new ArrayBuffer(size);
    this.#bytes = new Uint8Array(this.#own);
    if (!isOwn) this.#bytes.set(before);
  }
}

function view({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
