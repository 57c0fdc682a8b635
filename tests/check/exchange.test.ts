import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, it } from "vitest";
import { exchange, type HttpAnswer, readBody } from "../../lib/check/exchange.ts";
import { Failure } from "../../lib/check/failure.ts";
import { Turns } from "../../lib/check/pace.ts";
import { Timings } from "../../lib/check/timings.ts";
import { openSite, type Page } from "../support/site.ts";

const PAGE: Page = (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage");
const NEVER = new AbortController().signal;

/** How many listen to each event of a connection. */
function listenersOf(socket: Socket): Record<string, number> {
  return Object.fromEntries(["data", "end", "error", "close"].map((event) => [event, socket.listenerCount(event)]));
}

// Node keeps a closed TLS connection, and whoever listens to it, until a major collection.
it.each<[end: string, page: Page, run: (answer: HttpAnswer | Failure) => unknown]>([
  ["its body is read", PAGE, (answer) => readBody(answer as HttpAnswer, new Turns(), NEVER)],
  ["its body is not wanted", PAGE, (answer) => (answer as HttpAnswer).close()],
  ["it is no answer", (socket) => socket.end("page"), (answer) => expect(answer).toBeInstanceOf(Failure)],
])("nobody listens to the connection of an answer once %s", async (_, page, run) => {
  await using site = await openSite(page);
  const url = new URL(`http://127.0.0.1:${site.port}/`);
  const socket = connect({ port: site.port, host: url.hostname });
  await once(socket, "connect");
  const before = listenersOf(socket);
  const hop = { method: "GET", userAgent: "exchange-test", authorization: null, headers: [], body: null };
  await run(await exchange(socket, url, hop, new Timings(), new Turns(), NEVER));
  expect(socket.destroyed).toBe(true);
  expect(listenersOf(socket)).toEqual(before);
});
