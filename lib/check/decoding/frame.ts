import type { Transform } from "node:stream";
import type { Turns } from "../pace.ts";

/** One of the runtimes' decoders. */
export type RuntimeDecoder = Transform & { readonly bytesWritten: number };

/** Told what comes of a frame. After `end` or `fail` nothing more is told. */
export interface FrameEvents {
  bytes(bytes: Buffer): void;
  /** Something was done: `isBusy` may be false now. */
  progress(): void;
  /** The frame has ended properly. `rest` is the part of the last piece behind its end. */
  end(rest: Buffer): void;
  /** Its bytes do not decode. */
  fail(): void;
}

/**
 * Decodes one frame of a body, piece by piece. Its end is known only where a piece goes on behind
 * it: a decoder at its end leaves bytes behind.
 */
export class Frame {
  readonly #decoder: RuntimeDecoder;
  readonly #turns: Turns;
  readonly #events: FrameEvents;
  /** The piece under way, and how many bytes were taken before it. */
  #piece: Buffer | undefined;
  #taken = 0;
  #isOver = false;

  constructor(decoder: RuntimeDecoder, turns: Turns, events: FrameEvents) {
    this.#decoder = decoder;
    this.#turns = turns;
    this.#events = events;
    decoder.on("data", (bytes: Buffer) => this.#passOn(bytes));
    decoder.once("end", () => this.#end());
    decoder.on("error", () => this.#breakOff());
  }

  /** True until a piece is taken, and all that was made of it is passed on. */
  get isBusy(): boolean {
    return this.#piece !== undefined || this.#decoder.readableLength > 0;
  }

  /** Takes the next piece, where it is not busy. */
  give(piece: Buffer): void {
    this.#piece = piece;
    this.#decoder.write(piece, () => {
      // The decoder tells an end when it has passed on all else.
      const isAtEnd = this.#decoder.bytesWritten < this.#taken + piece.length;
      if (this.#isOver || isAtEnd) return;
      this.#taken += piece.length;
      this.#piece = undefined;
      this.#events.progress();
    });
  }

  /** Gives up what is under way. */
  destroy(): void {
    this.#isOver = true;
    this.#decoder.destroy(GIVEN_UP);
  }

  #passOn(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#events.bytes(bytes);
    if (this.#isOver) return;
    // A few bytes may unpack to megabytes, which come one after the other until it is paused.
    if (this.#turns.isOver && !this.#decoder.isPaused()) {
      this.#decoder.pause();
      this.#turns.next(() => void this.#decoder.resume());
    }
    this.#events.progress();
  }

  #end(): void {
    if (this.#isOver || this.#piece === undefined) return;
    const rest = this.#piece.subarray(this.#decoder.bytesWritten - this.#taken);
    this.destroy();
    this.#events.end(rest);
  }

  /** A decoder that is paused may hold bytes from before the error. */
  #breakOff(): void {
    if (this.#isOver) return;
    for (let bytes = this.#decoder.read(); bytes !== null; bytes = this.#decoder.read()) this.#passOn(bytes);
    if (!this.#isOver) this.#events.fail();
  }
}

/**
 * Without an error of ours the runtimes make one for the write under way. Its stack takes Deno as
 * long as all the rest of an empty frame.
 */
const GIVEN_UP = new Error("the frame is given up");
