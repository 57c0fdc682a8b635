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
