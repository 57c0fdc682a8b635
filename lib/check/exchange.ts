import type { Socket } from "node:net";
import { wait } from "../async/waits.ts";
import { nameFault } from "../hosts/host_name.ts";
import { AnswerParser, GrowingBuffer, type Head, transferCodings } from "./answer_parser.ts";
import { type Decoder, openDecoder } from "./decoding.ts";
import { codeOf, Failure } from "./failure.ts";
import { type Flow, Pace, SharedFlow, type Turns } from "./pace.ts";
import { explainTls } from "./secure.ts";
import type { Timings } from "./timings.ts";

/** Bytes of an answer that are taken without a rest: as many as most have. */
const LITTLE = 128 * 1024;

/** What is sent beside the path. */
export interface RequestHead {
  readonly userAgent: string;
  readonly authorization: string | null;
}

/** Told of a body as it comes, without the framing of its transfer. After `end` or `fail` nothing more is told. */
export interface BodyReader {
  bytes(bytes: Buffer): void;
  end(): void;
  fail(failure: Failure): void;
}

/** The head of an answer, and its body, which is still to be read. */
export interface HttpAnswer extends Head, Flow {
  /** Gives the body to `reader`; once. */
  flow(reader: BodyReader): void;
  /** Closes the connection. */
  close(): void;
}

/**
 * Sends one GET for `url` on `socket` and waits for the head of the answer; its body is still to be
 * read. From the answer's first byte on, time counts as "body". Deliberately not `node:http`: the
 * runtimes' parsers differ, say little of what is wrong, and bound neither pieces nor bytes.
 */
export function exchange(
  socket: Socket,
  url: URL,
  head: RequestHead,
  timings: Timings,
  turns: Turns,
  signal: AbortSignal,
): Promise<HttpAnswer | Failure> {
  timings.enter("first_byte");
  return wait(signal, (done) => {
    const body = new PendingBody();
    const close = () => void socket.destroy();
    const fail = (failure: Failure | null) => {
      if (failure === null) return;
      close();
      // Of a body that is read already only the reader hears, of the head whoever waits for it.
      done(failure);
      body.fail(failure);
    };
    let came = 0;
    const flow = new SharedFlow({ pause: () => void socket.pause(), resume: () => void socket.resume() });
    const connection = { pause: () => flow.pause(), resume: () => flow.resume(), close };
    const parser = new AnswerParser({
      head: ({ status, fields }) => done({ status, fields, flow: (reader) => body.flow(reader), ...connection }),
      body: (bytes) => body.bytes(bytes),
      end: () => body.end(),
    });
    socket.once("data", () => timings.enter("body"));
    socket.on("data", (piece: Buffer) => {
      const isTurnOver = turns.isOver;
      fail(parser.push(piece));
      came += piece.length;
      // Else the runtimes read up to two MiB of one connection before they look at another. Below
      // TLS it rests already, and what is held back here would be lost where it closes.
      if (!isTurnOver || came <= LITTLE || url.protocol === "https:" || socket.destroyed) return;
      flow.pause();
      turns.next(() => flow.resume());
    });
    socket.once("end", () => fail(parser.close()));
    socket.once("error", (error) => fail(explain(error, parser)));
    socket.once("close", () => fail(parser.close()));
    // Before anybody listened it may have ended: with an alert too, which Deno may tell right behind the handshake.
    if (socket.destroyed) fail(socket.errored === null ? parser.broken("closed") : explain(socket.errored, parser));
    else socket.write(requestFor(url, head), "latin1");
    return close;
  });
}

/** What came of a body before anybody reads it; then it goes on to the reader. */
class PendingBody implements BodyReader {
  #reader: BodyReader | undefined;
  readonly #pieces: Buffer[] = [];
  #outcome: "end" | Failure | undefined;

  flow(reader: BodyReader): void {
    this.#reader = reader;
    for (const piece of this.#pieces.splice(0)) reader.bytes(piece);
    if (this.#outcome === "end") reader.end();
    else if (this.#outcome !== undefined) reader.fail(this.#outcome);
  }

  bytes(bytes: Buffer): void {
    if (this.#reader === undefined) this.#pieces.push(bytes);
    else this.#reader.bytes(bytes);
  }

  end(): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = "end";
    this.#reader?.end();
  }

  fail(failure: Failure): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = failure;
    this.#reader?.fail(failure);
  }
}

/** A request (RFC 9112, section 3): nothing in a URL, nor in what this program sends beside it, can hold a line end. */
function requestFor(url: URL, { userAgent, authorization }: RequestHead): string {
  return [
    `GET ${url.pathname}${url.search} HTTP/1.1`,
    `Host: ${url.host}`,
    `User-Agent: ${userAgent}`,
    "Accept: */*",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Connection: close",
    ...(authorization === null ? [] : [`Authorization: ${authorization}`]),
    "\r\n",
  ].join("\r\n");
}

function explain(error: Error, parser: AnswerParser): Failure {
  const ofTls = explainTls(error);
  if (ofTls !== null) return new Failure("tls", ofTls);
  return parser.broken(codeOf(error) === "ECONNRESET" ? "reset" : "closed");
}

/** The statuses of a redirect (RFC 9110, section 15.4). */
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

const NO_URL = new Failure("redirect", "the redirect's address is no URL");
const NO_NAME = new Failure("redirect", "the redirect's address has a name that no host can have");

/**
 * Where an answer of `from` sends the client: null where it is no redirect, a Failure where it
 * cannot be followed. The Failure does not quote the address, which may hold a token. User and
 * password are cut out: the server's choice is not sent as ours.
 */
export function redirectOf({ status, fields }: Head, from: URL): URL | Failure | null {
  const location = REDIRECTS.has(status) ? fields.first("location") : null;
  if (location === null || location === "") return null;
  const target = URL.parse(encoded(location), from);
  if (target === null) return NO_URL;
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    return new Failure("redirect", `the redirect leads to a ${target.protocol} address, not to http: or https:`);
  }
  // Deno refuses bad punycode in a URL and Node does not, so both count it as no URL.
  const fault = nameFault(target.hostname);
  if (fault !== null) return fault === "punycode" ? NO_URL : NO_NAME;
  target.username = "";
  target.password = "";
  return target;
}

/**
 * Keeps every byte that is not ASCII: browsers send `%FC` for such a byte that is no UTF-8.
 * `location` is Latin-1.
 */
function encoded(location: string): string {
  return location.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The most bytes of a body that are read, after decompression. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** The part of a body that was read. */
export interface Body {
  readonly bytes: Buffer;
  /** True where the body is longer than MAX_BODY_BYTES. */
  readonly isCut: boolean;
  readonly contentType: string | null;
}

/**
 * Reads and decodes the body of an answer, to its end or to MAX_BODY_BYTES, and closes the
 * connection. A body that breaks off or does not decode is a Failure.
 */
export function readBody(answer: HttpAnswer, turns: Turns, signal: AbortSignal): Promise<Body | Failure> {
  return wait(signal, (done) => {
    const collected = new GrowingBuffer();
    const contentType = answer.fields.first("content-type");
    const close = () => {
      answer.close();
      if (typeof decoder === "object") decoder.destroy();
    };
    const end = (outcome: Body | Failure) => {
      done(outcome);
      close();
    };
    const fail = (detail: string) => end(new Failure("body", detail));
    let isOver = false;
    // Behind a body that is cut its end may come in the same piece. The bytes are gone by then.
    const finish = (isCut: boolean) => {
      if (isOver) return;
      isOver = true;
      end({ bytes: collected.end(MAX_BODY_BYTES), isCut, contentType });
    };
    const pace = new Pace(answer, turns);
    const decoder = openDecoder(codingsOf(answer), {
      bytes(bytes) {
        if (isOver) return;
        collected.append(bytes);
        if (collected.length > MAX_BODY_BYTES) finish(true);
      },
      end: () => finish(false),
      fail,
    }, pace);
    if (typeof decoder === "string") fail(decoder);
    // The bytes before a broken connection are judged first, whenever their decoder is done: they
    // came first.
    else answer.flow(readerOf(decoder, end));
    return close;
  });
}

function readerOf(decoder: Decoder, end: (failure: Failure) => void): BodyReader {
  return {
    bytes: (bytes) => decoder.write(bytes),
    end: () => decoder.end(),
    fail: (failure) => decoder.stop(() => end(failure)),
  };
}

/**
 * The codings to undo, in the order in which they were applied: first the content's, then the
 * transfer's.
 */
function codingsOf({ fields }: HttpAnswer): string[] {
  return [...fields.list("content-encoding"), ...transferCodings(fields).filter((coding) => coding !== "chunked")];
}
