import type { Socket } from "node:net";
import { AnswerParser } from "./answer_parser.ts";
import { codeOf, Failure } from "./failure.ts";
import type { Head } from "./head.ts";
import { type Flow, SharedFlow, type Turns } from "./pace.ts";
import { explainTls } from "./secure.ts";
import type { Timings } from "./timings.ts";
import { wait } from "../async/waits.ts";

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
  answerBegins: () => void,
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
    socket.once("data", () => {
      answerBegins();
      timings.enter("body");
    });
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
