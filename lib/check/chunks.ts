/** Longest line with a chunk's size, in bytes: it may hold extensions. */
const MAX_LINE_BYTES = 4096;
/** Of all trailers, in bytes. */
const MAX_TRAILER_BYTES = 64 * 1024;

const LF = 10;
const CR = 13;
/** Hexadecimal digits of a size that is read on the short way. */
const MAX_PLAIN_DIGITS = 8;
/** A size and extensions, which mean nothing here; blanks around the size do no harm. */
const SIZE_LINE = /^[ \t]*([0-9a-f]{1,13})[ \t]*(?:;.*)?$/i;

/** Takes the framing of the chunked transfer coding away (RFC 9112, section 7.1), piece by piece. */
export class Chunks {
  #state: "size" | "data" | "data-end" | "trailers" | "over" = "size";
  /** Bytes still to come of the chunk under way. */
  #left = 0;
  /** The beginning of a line whose end has not come yet. */
  #line = "";
  #trailerBytes = 0;

  /** True when the last chunk and its trailers have come. */
  get areOver(): boolean {
    return this.#state === "over";
  }

  /**
   * The body's bytes in a piece, put together at its beginning, which is overwritten; or what is
   * wrong with the framing.
   */
  take(piece: Buffer): Buffer | string {
    let written = 0;
    for (let at = 0; at < piece.length && this.#state !== "over";) {
      if (this.#state === "data") {
        const end = Math.min(piece.length, at + this.#left);
        if (end - at === 1) piece[written] = piece[at] as number;
        else if (written !== at) piece.copyWithin(written, at, end);
        written += end - at;
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = "data-end";
        continue;
      }
      const plain = this.#line === "" && this.#state !== "trailers" ? this.#takePlainLine(piece, at) : at;
      if (plain > at) {
        at = plain;
        continue;
      }
      const lineEnd = piece.indexOf(LF, at);
      const end = lineEnd === -1 ? piece.length : lineEnd;
      this.#line += piece.toString("latin1", at, Math.min(end, at + MAX_TRAILER_BYTES));
      at = end + 1;
      const problem = lineEnd === -1 ? this.#judgeBeginning() : this.#takeLine();
      if (problem !== null) return problem;
    }
    return piece.subarray(0, written);
  }

  /**
   * Takes a line as nearly all servers write it, byte by byte; gives where the next one begins, or
   * `at` where this one is not so plain. Chunks may hold a byte each, and a text for each of their
   * lines would cost a second of the processor's time a page.
   */
  #takePlainLine(piece: Buffer, at: number): number {
    let end = at;
    let size = 0;
    if (this.#state === "size") {
      for (
        let digit = hexDigit(piece[end]);
        digit >= 0 && end - at < MAX_PLAIN_DIGITS;
        digit = hexDigit(piece[++end])
      ) {
        size = size * 16 + digit;
      }
      if (end === at) return at;
    }
    if (piece[end] !== CR || piece[end + 1] !== LF) return at;
    if (this.#state === "size") this.#begin(size);
    else this.#state = "size";
    return end + 2;
  }

  #begin(size: number): void {
    this.#left = size;
    this.#state = size === 0 ? "trailers" : "data";
  }

  /** A line may be too long, or wrong, before its end has come. */
  #judgeBeginning(): string | null {
    if (this.#state === "data-end") return /^\r?$/.test(this.#line) ? null : BAD_END;
    return this.#judgeLength();
  }

  #judgeLength(): string | null {
    if (this.#state === "size") {
      return this.#line.length > MAX_LINE_BYTES
        ? `a chunk's size line is longer than ${MAX_LINE_BYTES / 1024} KiB`
        : null;
    }
    const bytes = this.#trailerBytes + this.#line.length;
    return bytes > MAX_TRAILER_BYTES ? `the trailers are longer than ${MAX_TRAILER_BYTES / 1024} KiB` : null;
  }

  #takeLine(): string | null {
    const tooLong = this.#judgeLength();
    if (tooLong !== null) return tooLong;
    const line = this.#line.replace(/\r$/, "");
    this.#line = "";
    if (this.#state === "size") return this.#takeSize(line);
    if (this.#state === "data-end") {
      this.#state = "size";
      return line === "" ? null : BAD_END;
    }
    this.#trailerBytes += line.length;
    if (line === "") this.#state = "over";
    return null;
  }

  #takeSize(line: string): string | null {
    const size = SIZE_LINE.exec(line)?.[1];
    if (size === undefined) return "bad chunk size";
    this.#begin(Number.parseInt(size, 16));
    return null;
  }
}

const BAD_END = "a chunk does not end where its size says";

/** The value of a hexadecimal digit; -1 for any other byte, and for none. */
function hexDigit(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
