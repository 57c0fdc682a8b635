import type { Socket } from "node:net";
import { wait } from "../async/waits.ts";
import { AnswerParser, GrowingBuffer, type Head, transferCodings } from "./answer_parser.ts";
import { type Decoder, openDecoder } from "./decoding.ts";
import { codeOf, Failure } from "./failure.ts";
import { type Flow, Pace, SharedFlow, type Turns } from "./pace.ts";
import { bytesOfRequest, type Hop } from "./request.ts";
import { explainTls } from "./secure.ts";
import type { Timings } from "./timings.ts";

/** Bytes of an answer that are taken without a rest: as many as most have. */
const LITTLE = 128 * 1024;

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
 * Sends one request for `url` on `socket` and waits for the head of the answer; its body is still
 * to be read. From the answer's first byte on, time counts as "body". Deliberately not `node:http`:
 * the runtimes' parsers differ, say little of what is wrong, and bound neither pieces nor bytes.
 */
export function exchange(
  socket: Socket,
  url: URL,
  hop: Hop,
  timings: Timings,
  turns: Turns,
  signal: AbortSignal,
): Promise<HttpAnswer | Failure> {
  timings.enter("first_byte");
  return wait(signal, (done) => {
    const body = new PendingBody();
    const close = () => {
      socket.destroy();
      // Node keeps a closed TLS connection until it clears up all of its memory. The check must not
      // stay with it.
      for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener);
    };
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
      head: (head) => done({ ...head, flow: (reader) => body.flow(reader), ...connection }),
      body: (bytes) => body.bytes(bytes),
      end: () => body.end(),
    }, hop.method !== "HEAD");
    const listeners = {
      data(piece: Buffer) {
        if (came === 0) timings.enter("body");
        const isTurnOver = turns.isOver;
        fail(parser.push(piece));
        came += piece.length;
        // Else the runtimes read up to two MiB of one connection before they look at another. Below
        // TLS it rests already, and what is held back here would be lost where it closes.
        if (!isTurnOver || came <= LITTLE || url.protocol === "https:" || socket.destroyed) return;
        flow.pause();
        turns.next(() => flow.resume());
      },
      end: () => fail(parser.close()),
      error: (error: Error) => fail(explain(error, parser)),
      close: () => fail(parser.close()),
    };
    for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener);
    // Before anybody listened it may have ended: with an alert too, which Deno may tell right behind the handshake.
    if (socket.destroyed) fail(socket.errored === null ? parser.broken("closed") : explain(socket.errored, parser));
    else socket.write(bytesOfRequest(url, hop), "latin1");
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

function explain(error: Error, parser: AnswerParser): Failure {
  const ofTls = explainTls(error);
  if (ofTls !== null) return new Failure("tls", ofTls);
  return parser.broken(codeOf(error) === "ECONNRESET" ? "reset" : "closed");
}

/** The most bytes of a body that are read, after decompression, where a host has no option for it. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** The part of a body that was read. */
export interface Body {
  readonly bytes: Buffer;
  /** True where the body is longer than what is read. */
  readonly isCut: boolean;
  readonly contentType: string | null;
}

/**
 * Reads and decodes the body of an answer, to its end or to `most` bytes, and closes the
 * connection. A body that breaks off or does not decode is a Failure.
 */
export function readBody(
  answer: HttpAnswer,
  turns: Turns,
  signal: AbortSignal,
  most: number = MAX_BODY_BYTES,
): Promise<Body | Failure> {
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
      end({ bytes: collected.end(most), isCut, contentType });
    };
    const pace = new Pace(answer, turns);
    const decoder = openDecoder(codingsOf(answer), {
      bytes(bytes) {
        if (isOver) return;
        collected.append(bytes);
        if (collected.length > most) finish(true);
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
