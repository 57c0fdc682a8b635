import type { IncomingMessage } from "node:http";
// It speaks HTTP on whatever connection it is given, as that of node:http does, which brings all of undici along: 50 ms at the start.
import { request } from "node:https";
import type { Socket } from "node:net";
import { codeOf, Failure } from "./failure.ts";
import type { Stopwatch } from "./stopwatch.ts";
import { wait } from "./wait.ts";

/** Longest head of an answer that is read, in bytes. */
const MAX_HEADER_BYTES = 64 * 1024;

/** What is sent beside the path. */
export interface RequestHead {
  readonly userAgent: string;
  readonly authorization: string | null;
}

/**
 * Sends one GET for `url` on `socket` and waits for the head of the answer; its body is still to be read. From the answer's first
 * byte on, time counts as "body".
 */
export function exchange(
  socket: Socket,
  url: URL,
  head: RequestHead,
  watch: Stopwatch,
  signal: AbortSignal,
): Promise<IncomingMessage | Failure> {
  watch.enter("first_byte");
  return wait(signal, (done) => {
    let isAnswered = false;
    const fail = (detail: string) => {
      sent.destroy();
      done(new Failure("protocol", detail));
    };
    // Neither agent nor pool: a connection that is used again would be retried in silence when the server closes it.
    const sent = request({
      createConnection: () => socket,
      path: url.pathname + url.search,
      headers: headersOf(url, head),
      setHost: false,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    sent.once("socket", () => socket.prependOnceListener("data", () => watch.enter("body")));
    sent.once("response", (response) => {
      isAnswered = true;
      // Read or not, an answer that breaks off must not end the process; `readBody` looks for itself.
      response.on("error", () => {});
      if (response.statusCode === 101) fail(UPGRADED);
      else done(response);
    });
    sent.once("upgrade", () => fail(UPGRADED));
    sent.on("error", (error) => {
      // Later ones are about the body, which is for `readBody` to judge, or about bytes behind it.
      if (!isAnswered) fail(explain(error, watch));
    });
    sent.end();
    return () => sent.destroy();
  });
}

const UPGRADED = "the answer is 101 Switching Protocols, which nobody asked for";

function headersOf(url: URL, { userAgent, authorization }: RequestHead): Record<string, string> {
  return {
    Host: url.host,
    "User-Agent": userAgent,
    Accept: "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    Connection: "close",
    ...(authorization === null ? {} : { Authorization: authorization }),
  };
}

function explain(error: Error, watch: Stopwatch): string {
  const code = codeOf(error);
  if (code === "HPE_HEADER_OVERFLOW") return "the answer's headers are longer than 64 KiB";
  const reason = (error as { reason?: unknown }).reason;
  if (code.startsWith("HPE_")) return `the answer is not HTTP: ${typeof reason === "string" ? reason : error.message}`;
  if (watch.phase === "body") return "connection was closed within the answer's headers";
  return code === "ECONNRESET" && error.message !== "socket hang up"
    ? "connection was reset without an answer"
    : "connection was closed without an answer";
}
