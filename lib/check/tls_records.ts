/**
 * Certificates have at most 64 KiB, and the rest is little: of names of authorities, the longest
 * part, usual servers send 16 KiB at most.
 */
const MAX_HANDSHAKE_BYTES = 80 * 1024;
const MAX_HANDSHAKE_RECORDS = 500;
/**
 * Between the handshake and the first byte of the answer: session tickets come there, of some 250
 * bytes each, mostly two.
 */
const MAX_IDLE_BYTES = 256 * 1024;
/** Records of one connection: as many as an answer may have pieces, and as costly. */
const MAX_RECORDS = 10_000;
/** A record's type, its version and its length (RFC 8446, section 5.1). */
const HEADER_BYTES = 5;

/** What a connection is about now. */
type Stage = "handshake" | "waiting" | "answer";

/**
 * Counts what a server sends below TLS, without reading what is in it: the runtimes tell a program
 * nothing of records that hold no byte of an answer (messages of a handshake, session tickets, new
 * keys, nothing at all), though each costs some 1 to 20 µs.
 */
export class TlsRecords {
  #stage: Stage = "handshake";
  /** Bytes in the stage, and records in all. */
  #bytes = 0;
  #records = 0;
  /** Bytes of the header under way that came, its length, and bytes still to come of the record. */
  #headerBytes = 0;
  #length = 0;
  #left = 0;

  /** The handshake is done, or the answer begins. */
  enter(stage: Exclude<Stage, "handshake">): void {
    this.#stage = stage;
    this.#bytes = 0;
  }

  /** Counts what came; gives the bound that it is beyond, for a person, or null. */
  take(piece: Uint8Array): string | null {
    const before = this.#bytes;
    this.#bytes += piece.length;
    this.#count(piece);
    if (this.#stage === "handshake") {
      if (this.#bytes > MAX_HANDSHAKE_BYTES) {
        return `the server's TLS handshake is longer than ${MAX_HANDSHAKE_BYTES / 1024} KiB`;
      }
      return this.#records > MAX_HANDSHAKE_RECORDS
        ? `the server's TLS handshake comes in more than ${MAX_HANDSHAKE_RECORDS} records`
        : null;
    }
    if (this.#records > MAX_RECORDS) return `the server sends more than ${MAX_RECORDS} TLS records`;
    // The answer may begin in this piece: that is known when TLS has undone it.
    return this.#stage === "waiting" && before > MAX_IDLE_BYTES
      ? `the server sends more than ${MAX_IDLE_BYTES / 1024} KiB in TLS before the answer`
      : null;
  }

  #count(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, piece.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      this.#length = this.#length << 8 & 0xff00 | piece[at++] as number;
      if (++this.#headerBytes < HEADER_BYTES) continue;
      this.#records++;
      this.#left = this.#length;
      this.#headerBytes = this.#length = 0;
    }
  }
}
