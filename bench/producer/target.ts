// The web site that is checked, as a process of its own: answers a known time after each request
// came, and notes how long that was in truth. Started by site.ts, which it talks to over IPC; ends
// when that goes.
import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import process from "node:process";
import { createServer as createTlsServer } from "node:tls";
import { MOST_SECONDS } from "./cores.ts";
import { BODY, type Question, WAIT_MS } from "./site.ts";

const ANSWER = [
  "HTTP/1.1 200 OK",
  "Content-Type: text/html; charset=utf-8",
  `Content-Length: ${Buffer.byteLength(BODY)}`,
  "Connection: close",
  "",
  BODY,
].join("\r\n");

/** For each path, how long its requests waited for their answers, in milliseconds, in order. */
let waits: Record<string, number[]> = {};
/** When the first request came, in milliseconds since 1970. */
let firstAt: number | null = null;

/** Plain sockets: whatever this process does for a request, the checker's core must stay the bottleneck. */
function serve(socket: Socket): void {
  let head = "";
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    head += chunk.toString("latin1");
    if (!head.includes("\r\n\r\n")) return;
    const path = head.slice(head.indexOf(" ") + 1, head.indexOf(" ", 4));
    head = "";
    firstAt ??= Date.now();
    const came = performance.now();
    setTimeout(() => {
      (waits[path] ??= []).push(performance.now() - came);
      socket.end(ANSWER);
    }, WAIT_MS);
  });
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("The server has no port");
  return address.port;
}

const identity = readFileSync(process.argv[2] as string);
const options = { key: identity, cert: identity, minVersion: "TLSv1.3", noDelay: true } as const;
const ports = {
  http: await listen(createServer({ noDelay: true }, serve)),
  https: await listen(createTlsServer(options, serve).on("tlsClientError", () => {})),
};
// Nobody asks any more: whoever started this is dead, or gets no turn.
const idle = setTimeout(() => process.exit(1), 2 * MOST_SECONDS * 1000);
process.on("message", (question: Question) => {
  idle.refresh();
  if (question === "ports") process.send?.(ports);
  else {
    process.send?.({ waits, firstAt });
    [waits, firstAt] = [{}, null];
  }
});
process.on("disconnect", () => process.exit(0));
