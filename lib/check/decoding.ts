import type { Transform } from "node:stream";
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from "node:zlib";
import type { Pace } from "./pace.ts";

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

/** One of the runtimes' decoders. */
type Frame = Transform & { readonly bytesWritten: number };
type Make = (beginning: Buffer) => Frame;

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

/** Any byte: it is not looked at. */
const BEHIND_THE_END = Buffer.alloc(1);
const NOTHING = Buffer.alloc(0);
/** One byte behind those that tell what a deflated body is wrapped in. */
const MOST_HELD = 3;

/**
 * Undoes one coding. The runtimes' decoders do not tell a proper end from a body that stops early
 * (Deno: br and zstd), nor go on behind the first of several frames (zstd). So the last byte is
 * held back, and given together with one more: a decoder at its end does not take that, and ends.
 */
class Stage implements Decoder {
  readonly #name: string;
  readonly #next: Decoder;
  readonly #tell: (detail?: string) => void;
  readonly #pace: Pace;
  readonly #waiting: Buffer[] = [];
  /** The last byte that came; of the beginning as many as tell the wrapping. */
  #held: Buffer = NOTHING;
  #hasBegun = false;
  /** True behind gzip's last member, where zeros may follow. */
  #isPadding = false;
  #frame: Frame | undefined;
  /** Bytes that were given to the frame under way, the piece at work left out. */
  #given = 0;
  #atWork: Buffer | undefined;
  /** True while what comes next waits for its turn. */
  #isWaiting = false;
  #frames = 0;
  /** Bytes that were passed on. */
  #passed = 0;
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
    if (this.#isOver || bytes.length === 0) return;
    const whole = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#hasBegun ||= whole.length >= MOST_HELD;
    this.#held = this.#hasBegun ? whole.subarray(-1) : whole;
    if (!this.#hasBegun) return;
    for (let at = 0; at < whole.length - 1; at += PIECE_BYTES) {
      this.#wait(whole.subarray(at, Math.min(at + PIECE_BYTES, whole.length - 1)));
    }
    this.#goOn();
  }

  end(): void {
    if (this.#isOver || this.#isLast) return;
    this.#isLast = true;
    // Nothing at all decodes to nothing.
    if (this.#held.length === 0) return this.#end();
    this.#wait(Buffer.concat([this.#held, BEHIND_THE_END]));
    this.#goOn();
  }

  #wait(piece: Buffer): void {
    this.#waiting.push(piece);
    this.#pace.add(piece.length);
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

  #close(): void {
    this.#isOver = true;
    this.#frame?.destroy();
  }

  /** Goes on when it is its turn, and the frame has passed on all that it made of the last piece. */
  #goOn(): void {
    if (this.#isOver || this.#isWaiting || this.#atWork !== undefined || this.#holdsBack) return;
    this.#isWaiting = true;
    this.#pace.turns.next(() => {
      this.#isWaiting = false;
      if (!this.#isOver) this.#takeNext();
    });
  }

  get #holdsBack(): boolean {
    return this.#frame !== undefined && this.#frame.readableLength > 0;
  }

  #takeNext(): void {
    const piece = this.#waiting.shift();
    this.#pace.take(piece?.length ?? 0);
    if (piece === undefined) {
      // All was taken, the byte behind the end too.
      if (this.#isLast) this.#fail();
      else if (this.#stopped !== undefined) this.#next.stop(this.#stopped);
    } else if (this.#isPadding) this.#pass(piece);
    else this.#give(piece);
  }

  #give(piece: Buffer): void {
    const frame = this.#frame ??= this.#open(piece);
    this.#atWork = piece;
    frame.write(piece, () => {
      // At its end a frame leaves bytes behind. It tells the end when it has passed on all else.
      const isAtEnd = frame.bytesWritten < this.#given + piece.length;
      if (this.#isOver || this.#atWork !== piece || isAtEnd) return;
      this.#given += piece.length;
      this.#atWork = undefined;
      this.#goOn();
    });
  }

  #open(beginning: Buffer): Frame {
    this.#given = 0;
    const frame = (CODINGS[this.#name] as Make)(beginning);
    frame.on("data", (bytes: Buffer) => this.#passOn(bytes, frame));
    frame.once("end", () => this.#endFrame(frame));
    frame.on("error", () => this.#breakOff(frame));
    return frame;
  }

  /** A frame that is paused may hold bytes from before the error. */
  #breakOff(frame: Frame): void {
    for (let bytes = frame.read(); bytes !== null; bytes = frame.read()) this.#passOn(bytes, frame);
    this.#fail();
  }

  #passOn(bytes: Buffer, frame: Frame): void {
    if (this.#isOver) return;
    this.#passed += bytes.length;
    if (this.#passed > MAX_BETWEEN_BYTES) return this.#fail(TOO_MUCH_BETWEEN);
    this.#next.write(bytes);
    // A few bytes may unpack to megabytes, which come one behind the other until the frame is paused.
    if (this.#pace.turns.isOver && !frame.isPaused()) {
      frame.pause();
      this.#pace.turns.next(() => void frame.resume());
    }
    this.#goOn();
  }

  /** A frame has ended before it had taken all of the piece at work. */
  #endFrame(frame: Frame): void {
    const piece = this.#atWork;
    if (this.#isOver || piece === undefined) return;
    const rest = piece.subarray(frame.bytesWritten - this.#given);
    this.#frame = this.#atWork = undefined;
    frame.destroy();
    if (this.#isAtEnd && rest.length === BEHIND_THE_END.length) this.#end();
    else if (++this.#frames === MAX_FRAMES) this.#fail(`the body has more than ${MAX_FRAMES} frames of ${this.#name}`);
    else if (this.#name === "zstd") this.#beginFrame(rest);
    else if (this.#name.endsWith("gzip")) this.#pass(rest);
    else this.#fail();
  }

  /** Begins the next frame, whose beginning is at work until then. */
  #beginFrame(beginning: Buffer): void {
    this.#atWork = beginning;
    this.#pace.turns.next(() => this.#isOver || this.#give(beginning));
  }

  get #isAtEnd(): boolean {
    return this.#isLast && this.#waiting.length === 0;
  }

  /** Takes what may stand behind gzip's last member: zeros. */
  #pass(padding: Buffer): void {
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
}

const TOO_MUCH_BETWEEN = `the body has more than ${MAX_BETWEEN_BYTES / 1024 / 1024} MiB between two of its codings`;
