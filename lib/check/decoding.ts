import type { Transform } from "node:stream";
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from "node:zlib";
import type { Pace, Turns } from "./pace.ts";

/** Told what comes of decoding. After `end` or `fail` nothing more is told. */
export interface Decoded {
  bytes(bytes: Buffer): void;
  /** The coded bytes came to their proper end. */
  end(): void;
  /** Why they do not decode, for a person. */
  fail(detail: string): void;
}

/** Takes coded bytes as they come. */
export interface Decoder {
  write(bytes: Buffer): void;
  /** No more bytes will come. */
  end(): void;
  /**
   * The same, though that is no proper end: `then` is called once all that came is decoded, where
   * that did not fail.
   */
  stop(then: () => void): void;
  /** Gives up what is under way. */
  destroy(): void;
}

/** Codings of one answer: as many as curl undoes. */
const MAX_CODINGS = 5;
/** Frames of one body, since each costs a decoder, however little is in it. */
const MAX_FRAMES = 1000;
/** Bytes between two codings of one body: what unpacks to more than comes on the way may be coded again. */
const MAX_BETWEEN_BYTES = 8 * 1024 * 1024;
/** Bytes that a decoder is given at one time: under Deno nothing else runs until it is done with them. */
const PIECE_BYTES = 8 * 1024;

type Make = (beginning: Buffer) => RuntimeDecoder;

/** How each coding is undone (RFC 9110, section 8.4.1; RFC 9659). `beginning`: the coded bytes' first piece. */
const CODINGS: Readonly<Record<string, Make>> = {
  "gzip": () => createGunzip(),
  "x-gzip": () => createGunzip(),
  "deflate": (beginning) => isZlib(beginning) ? createInflate() : createInflateRaw(),
  "br": () => createBrotliDecompress(),
  // At most an 8 MiB window (RFC 9659): a hostile body could ask for 128 MiB.
  "zstd": () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } }),
};

/** RFC 9110 wants zlib's wrapping, some servers leave it out; its first two bytes tell (RFC 1950, section 2.2). */
function isZlib(beginning: Buffer): boolean {
  const [method = 0, flags = 0] = beginning;
  return (method & 0x0f) === 8 && (method * 256 + flags) % 31 === 0;
}

/**
 * Undoes `codings`, given in the order in which they were applied; `identity` is none. Gives a text
 * for a person where one of them is not known, or there are too many. `pace` is kept between its
 * pieces.
 */
export function openDecoder(codings: readonly string[], decoded: Decoded, pace: Pace): Decoder | string {
  const names = codings.map((coding) => coding.toLowerCase()).filter((name) => name !== "identity" && name !== "none");
  if (names.length > MAX_CODINGS) return `the body has more than ${MAX_CODINGS} codings`;
  const unknown = names.find((name) => !Object.hasOwn(CODINGS, name));
  if (unknown !== undefined) return `the body's coding is not known: ${unknown}`;
  // All of them: which one finds out first depends on how far each has come.
  const undecodable = `the body does not decode as ${names.join(", ")}`;
  const tell = (detail = undecodable) => decoded.fail(detail);
  return names.reduce<Decoder>((next, name) => new Stage(name, next, tell, pace), plain(decoded));
}

/** Passes on what comes. */
function plain(decoded: Decoded): Decoder {
  return {
    write: (bytes) => decoded.bytes(bytes),
    end: () => decoded.end(),
    stop: (then) => then(),
    destroy: () => {},
  };
}

/**
 * Undoes one coding, piece by piece, in turns that all checks share. A body may have several
 * frames, which only gzip's decoder goes through by itself.
 */
class Stage implements Decoder {
  readonly #name: string;
  readonly #next: Decoder;
  readonly #tell: (detail?: string) => void;
  readonly #pace: Pace;
  readonly #held = new HeldBack();
  /** Pieces that came and were not given to a frame. */
  readonly #waiting: Buffer[] = [];
  #frame: CodedFrame | undefined;
  #frames = 0;
  /** Bytes that were passed on. */
  #passed = 0;
  /** True while the next piece waits for its turn. */
  #isWaiting = false;
  /** True behind gzip's last member, where zeros may follow. */
  #isPadding = false;
  #isLast = false;
  #stopped: (() => void) | undefined;
  #isOver = false;

  /** `next` gets what is decoded; `tell` hears why something cannot be. */
  constructor(name: string, next: Decoder, tell: (detail?: string) => void, pace: Pace) {
    this.#name = name;
    this.#next = next;
    this.#tell = tell;
    this.#pace = pace;
  }

  write(bytes: Buffer): void {
    if (this.#isOver) return;
    const whole = this.#held.exchange(bytes);
    for (let at = 0; at < whole.length; at += PIECE_BYTES) this.#add(whole.subarray(at, at + PIECE_BYTES));
    this.#goOn();
  }

  end(): void {
    if (this.#isOver || this.#isLast) return;
    this.#isLast = true;
    const last = this.#held.end();
    // Nothing at all decodes to nothing.
    if (last === null) return this.#end();
    this.#add(last);
    this.#goOn();
  }

  stop(then: () => void): void {
    if (this.#isOver) return;
    this.#stopped = then;
    this.#goOn();
  }

  destroy(): void {
    this.#close();
    this.#next.destroy();
  }

  #add(piece: Buffer): void {
    this.#waiting.push(piece);
    this.#pace.add(piece.length);
  }

  /** Goes on when it is its turn, and the frame is done with the last piece. */
  #goOn(): void {
    if (this.#isOver || this.#isWaiting || this.#frame?.isBusy) return;
    this.#isWaiting = true;
    this.#pace.turns.next(() => {
      this.#isWaiting = false;
      if (!this.#isOver) this.#takeNext();
    });
  }

  #takeNext(): void {
    const piece = this.#waiting.shift();
    if (piece !== undefined) {
      this.#pace.take(piece.length);
      if (this.#isPadding) return this.#passPadding(piece);
      this.#frame ??= this.#open(piece);
      this.#frame.give(piece);
    } else if (this.#isLast) this.#fail(); // It took the byte behind the end too.
    else if (this.#stopped !== undefined) this.#next.stop(this.#stopped);
  }

  #open(beginning: Buffer): CodedFrame {
    const decoder = (CODINGS[this.#name] as Make)(beginning);
    return new CodedFrame(decoder, this.#pace.turns, {
      bytes: (bytes) => this.#passOn(bytes),
      progress: () => this.#goOn(),
      end: (rest) => this.#endFrame(rest),
      fail: () => this.#fail(),
    });
  }

  #passOn(bytes: Buffer): void {
    this.#passed += bytes.length;
    if (this.#passed > MAX_BETWEEN_BYTES) this.#fail(TOO_MUCH_BETWEEN);
    else this.#next.write(bytes);
  }

  #endFrame(rest: Buffer): void {
    this.#frame = undefined;
    if (this.#isAtEnd && rest.length === BEHIND_THE_END.length) return this.#end();
    if (++this.#frames === MAX_FRAMES) {
      return this.#fail(`the body has more than ${MAX_FRAMES} frames of ${this.#name}`);
    }
    if (this.#name.endsWith("gzip")) return this.#passPadding(rest);
    if (this.#name !== "zstd") return this.#fail();
    this.#waiting.unshift(rest);
    this.#pace.add(rest.length);
    this.#goOn();
  }

  get #isAtEnd(): boolean {
    return this.#isLast && this.#waiting.length === 0;
  }

  /** Takes what may stand behind gzip's last member: zeros. */
  #passPadding(padding: Buffer): void {
    this.#isPadding = true;
    // All that waits at once: thousands of pieces of one byte, each in a call of its own, fill the
    // stack.
    const more = this.#waiting.splice(0);
    this.#pace.take(more.reduce((sum, { length }) => sum + length, 0));
    if ([padding, ...more].some((piece) => piece.some((byte) => byte !== 0))) this.#fail();
    else if (this.#isAtEnd) this.#end();
    else this.#goOn();
  }

  #end(): void {
    this.#isOver = true;
    this.#next.end();
  }

  /** What came before is decoded first: it may be as much of the body as is read. */
  #fail(detail?: string): void {
    if (this.#isOver) return;
    this.#close();
    this.#next.stop(() => this.#tell(detail));
  }

  #close(): void {
    this.#isOver = true;
    this.#frame?.destroy();
  }
}

/** Any byte: it is not looked at. */
const BEHIND_THE_END = Buffer.alloc(1);
/** One byte behind those that tell what a deflated body is wrapped in. */
const MOST_HELD = 3;

/**
 * Holds back the last byte of a body, to give it together with one more. A decoder at its end does
 * not take that one. Without it the runtimes' decoders do not tell a proper end from a body that
 * stops early (Deno: br and zstd), nor go on behind the first of several frames (zstd). Of the
 * beginning, as many bytes are held back as tell the wrapping.
 */
class HeldBack {
  #bytes: Buffer = Buffer.alloc(0);
  #hasBegun = false;

  /** Takes the next bytes. Gives all that came but for those that are held back now. */
  exchange(bytes: Buffer): Buffer {
    const whole = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    this.#hasBegun ||= whole.length >= MOST_HELD;
    const end = this.#hasBegun ? whole.length - 1 : 0;
    this.#bytes = whole.subarray(end);
    return whole.subarray(0, end);
  }

  /** The end of the body, with one byte more; null where nothing came. */
  end(): Buffer | null {
    return this.#bytes.length === 0 ? null : Buffer.concat([this.#bytes, BEHIND_THE_END]);
  }
}

const TOO_MUCH_BETWEEN = `the body has more than ${MAX_BETWEEN_BYTES / 1024 / 1024} MiB between two of its codings`;

/** One of the runtimes' decoders. */
type RuntimeDecoder = Transform & { readonly bytesWritten: number };

/** Told what comes of a frame. After `end` or `fail` nothing more is told. */
interface FrameEvents {
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
class CodedFrame {
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
