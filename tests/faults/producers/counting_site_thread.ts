// The site of counting_site.ts, in its own thread.
import { type AddressInfo, createServer, type Socket } from "node:net";
import { parentPort } from "node:worker_threads";
import { answer } from "../../support/site.ts";

/** What the thread tells: where it listens, and what it was asked since it last told. */
export interface SiteMessage {
  readonly port: number;
  /** The number of each page and when it was asked for, in milliseconds since 1970, in turn. */
  readonly seen: Float64Array<ArrayBuffer>;
}

/** Milliseconds that a page takes, in turn. Faults find checks under way. */
const PACES = [0, 0, 30, 300, 0, 0, 600];
const FINE = answer("200 OK", {}, "fine");

let seen: number[] = [];

function serve(socket: Socket): void {
  let head = "";
  socket.on("error", () => {}).on("data", (chunk) => {
    head += chunk.toString("latin1");
    if (!head.includes("\r\n\r\n")) return;
    const page = Number(/^GET \/(\d+) /.exec(head)?.[1]);
    seen.push(page, Date.now());
    head = "";
    setTimeout(() => socket.end(FINE), PACES[page % PACES.length]);
  });
}

const server = createServer(serve).listen(0, "127.0.0.1", () => handOver());
parentPort?.on("message", handOver);

function handOver(): void {
  const message: SiteMessage = { port: (server.address() as AddressInfo).port, seen: Float64Array.from(seen) };
  seen = [];
  parentPort?.postMessage(message, [message.seen.buffer]);
}
