// A site in a process of its own: answers after 100 ms, and at one of its ports never. Prints its ports.
import { createServer } from "node:http";
import { createServer as createSilentServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import process from "node:process";

/** Of one port, a system has only so many connections to give while those that have ended are kept for a minute. */
const PORTS = 8;
const DELAY = 100;

const answering = () =>
  createServer((_, response) => void setTimeout(() => response.end("<h1>All systems normal</h1>"), DELAY));
const silent = createSilentServer((socket) => socket.on("error", () => {}).resume());

const live = await Promise.all(Array.from({ length: PORTS }, () => listen(answering())));
process.stdout.write(`${JSON.stringify({ live, silent: await listen(silent) })}\n`);

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => resolve((server.address() as AddressInfo).port));
  });
}
