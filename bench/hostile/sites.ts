// Sites in a process of their own: with the argument "good" one that answers after 100 ms, with "hostile" the answers that the tests
// have for the parser's bounds. Prints its port.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { PAGES } from "../../tests/support/check_pages.ts";
import { answer, openSite } from "../../tests/support/site.ts";

/** Milliseconds. */
const DELAY = 100;
const PAGE = `<h1>All systems normal</h1>${"<p>and nothing else</p>".repeat(80)}`;

async function openGood(): Promise<number> {
  const server = createServer((_, response) => void setTimeout(() => response.end(PAGE), DELAY));
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, resolve));
  return (server.address() as AddressInfo).port;
}

async function openHostile(): Promise<number> {
  const { port } = await openSite((socket, request) => {
    const page = PAGES[request.path];
    if (page === undefined) socket.end(answer("404 Not Found"));
    else page(socket, request);
  });
  return port;
}

const port = process.argv[2] === "hostile" ? await openHostile() : await openGood();
process.stdout.write(`${port}\n`);
