import type { IncomingMessage } from "node:http";
import type { Transform } from "node:stream";
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from "node:zlib";
import { Failure } from "./failure.ts";
import { wait } from "./wait.ts";

/** How much of a body is read, in bytes after decompression. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** What was read of a body. */
export interface Body {
  readonly bytes: Buffer;
  /** True where the body is longer than MAX_BODY_BYTES. */
  readonly isCut: boolean;
}

/**
 * Reads and decodes the body of an answer, to its end or to MAX_BODY_BYTES, and closes the connection. A body that breaks off or does
 * not decode is a Failure.
 */
export function readBody(response: IncomingMessage, signal: AbortSignal): Promise<Body | Failure> {
  return wait(signal, (done) => {
    let decoder: Transform | undefined;
    const close = () => {
      response.destroy();
      decoder?.destroy();
    };
    const end = (outcome: Body | Failure) => {
      done(outcome);
      close();
    };
    const breakOff = () => end(new Failure("body", "connection was closed within the body"));
    const collector = new Collector(end);
    response.once("data", (first: Buffer) => decoder = collect(response, first, collector, end));
    response.once("end", () => {
      if (decoder === undefined) collector.finish();
    });
    response.once("error", breakOff);
    response.once("close", () => {
      if (!response.complete) breakOff();
    });
    // What came before anybody listened is not said again.
    if (response.destroyed) breakOff();
    return close;
  });
}

/** Lets the body flow into `collector`, which begins with `first`; returns what it goes through on the way, if anything. */
function collect(
  response: IncomingMessage,
  first: Buffer,
  collector: Collector,
  end: (failure: Failure) => void,
): Transform | undefined {
  const encoding = encodingOf(response);
  const decoder = decoderFor(encoding, first);
  if (decoder === undefined) {
    collector.add(first);
    response.on("data", (chunk: Buffer) => collector.add(chunk));
    return undefined;
  }
  decoder.on("data", (chunk: Buffer) => collector.add(chunk));
  decoder.once("end", () => collector.finish());
  decoder.on("error", () => end(new Failure("body", `the body does not decode as ${encoding}`)));
  decoder.write(first);
  response.pipe(decoder);
  return decoder;
}

/** Takes what comes of a body until it ends or is too long. */
class Collector {
  readonly #end: (body: Body) => void;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(end: (body: Body) => void) {
    this.#end = end;
  }

  add(chunk: Buffer): void {
    if (this.#size > MAX_BODY_BYTES) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size > MAX_BODY_BYTES) this.#end({ bytes: this.#bytes().subarray(0, MAX_BODY_BYTES), isCut: true });
  }

  finish(): void {
    this.#end({ bytes: this.#bytes(), isCut: false });
  }

  #bytes(): Buffer {
    return this.#chunks.length === 1 ? this.#chunks[0] as Buffer : Buffer.concat(this.#chunks);
  }
}

function encodingOf(response: IncomingMessage): string {
  return response.headers["content-encoding"]?.trim().toLowerCase() ?? "";
}

/** What undoes a Content-Encoding; undefined where the body is read as it is. `first` is the body's beginning. */
function decoderFor(encoding: string, first: Buffer): Transform | undefined {
  switch (encoding) {
    case "gzip":
    case "x-gzip":
      return createGunzip();
    case "deflate":
      // RFC 9110 wants zlib's wrapping, some servers leave it out; its first byte tells (RFC 1950, section 2.2).
      return ((first[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw();
    case "br":
      return createBrotliDecompress();
    case "zstd":
      // At most an 8 MiB window (RFC 9659): a hostile body could ask for 128 MiB.
      return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } });
    default:
      return undefined;
  }
}
