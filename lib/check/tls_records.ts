import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { whenSocketsAreServed } from "../async/waits.ts";

/**
 * Bytes that come at once, after which other sockets have a turn. Node would read up to two MiB
 * before it looked at them.
 */
const TURN_BYTES = 32 * 1024;

/**
 * A connection that shows its bytes to `watch` before its reader gets them. It closes with the
 * connection.
 */
export class WatchedSocket extends Duplex {
  readonly #socket: Socket;
  #isResting = false;

  /** `watch` gives false where the piece must not be passed on. */
  constructor(socket: Socket, watch: (piece: Buffer) => boolean) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (piece: Buffer) => {
      if (!watch(piece)) return;
      if (piece.length >= TURN_BYTES) this.#rest();
      if (!this.push(piece)) socket.pause();
    });
    // The reader hears of errors too. After the last reader nobody does, and that must not end the
    // process.
    this.on("error", () => {});
    socket.once("end", () => this.push(null));
    socket.once("error", (error) => this.destroy(error));
    // What came before a proper end is still to be read, by whoever rests now.
    socket.once("close", () => socket.readableEnded || this.destroy());
  }

  #rest(): void {
    this.#isResting = true;
    this.#socket.pause();
    whenSocketsAreServed(() => {
      this.#isResting = false;
      if (this.readableLength < this.readableHighWaterMark) this.#socket.resume();
    });
  }

  override _read(): void {
    if (!this.#isResting) this.#socket.resume();
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/**
 * Certificates have at most 64 KiB, and the rest is little. Its longest part is the names of
 * authorities, of which usual servers send 16 KiB at most.
 */
const MAX_HANDSHAKE_BYTES = 80 * 1024;
const MAX_HANDSHAKE_RECORDS = 500;
/**
 * Bytes between the handshake and the first byte of the answer. Session tickets come there, of some
 * 250 bytes each, mostly two.
 */
const MAX_IDLE_BYTES = 256 * 1024;
/** The most records of one connection: as many as an answer may have pieces, and as costly. */
const MAX_RECORDS = 10_000;
/** A record's type, its version and its length (RFC 8446, section 5.1). */
const HEADER_BYTES = 5;

/**
 * Counts the bytes and records that a server sends below TLS, without reading them. The runtimes
 * hide records without a byte of an answer: messages of a handshake, session tickets, new keys.
 * Each of them costs some 1 to 20 µs.
 */
export class TlsRecords {
  #isShaking = true;
  /** Bytes in the handshake, or since its end, and records in all. */
  #bytes = 0;
  #records = 0;
  /**
   * The bytes of the current header that came, the record's length, and the bytes of the record
   * still to come.
   */
  #headerBytes = 0;
  #length = 0;
  #left = 0;

  /** The handshake is done. */
  endHandshake(): void {
    this.#isShaking = false;
    this.#bytes = 0;
  }

  /**
   * Counts a piece. Gives the limit that the server has passed, for a person, or null. `isAnswered`:
   * the answer's first byte has come, decrypted.
   */
  take(piece: Uint8Array, isAnswered: boolean): string | null {
    const before = this.#bytes;
    this.#bytes += piece.length;
    this.#count(piece);
    if (this.#isShaking) {
      if (this.#bytes > MAX_HANDSHAKE_BYTES) {
        return `the server's TLS handshake is longer than ${MAX_HANDSHAKE_BYTES / 1024} KiB`;
      }
      return this.#records > MAX_HANDSHAKE_RECORDS
        ? `the server's TLS handshake comes in more than ${MAX_HANDSHAKE_RECORDS} records`
        : null;
    }
    if (this.#records > MAX_RECORDS) return `the server sends more than ${MAX_RECORDS} TLS records`;
    // The answer may begin in this piece. That is known only once TLS has decrypted it.
    return !isAnswered && before > MAX_IDLE_BYTES
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
