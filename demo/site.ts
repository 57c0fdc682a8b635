import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { freePort } from "../tools/free_ports.ts";

/** Milliseconds for which the flaky page fails: it is seen down, and then coming back. */
const FLAKY_FOR = 7_000;

/** A small site on loopback, with a page for each thing that happens to sites. */
export interface Site extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** The hosts file that checks it, every second or two. */
  readonly hostsFile: string;
}

type Page = (request: IncomingMessage, response: ServerResponse) => void;

const PAGES: Readonly<Record<string, Page>> = {
  "/fine": (_request, response) => response.end("<h1>All systems normal</h1>"),
  "/slow": (_request, response) => void setTimeout(() => response.end("<h1>Sorry, I was busy</h1>"), 700),
  "/broken": (_request, response) => response.writeHead(500).end("Internal Server Error"),
  "/moved": (_request, response) => response.writeHead(301, { Location: "/fine" }).end(),
  "/shop": (_request, response) => response.end("<h1>Sold out</h1>"),
  "/torn": (_request, response) => {
    response.writeHead(200, { "Content-Length": "1000" });
    response.write("only a part of", () => response.destroy());
  },
};

/** Starts the site on a free port of 127.0.0.1. */
export async function startSite(): Promise<Site> {
  const recovery = performance.now() + FLAKY_FOR;
  const flaky: Page = (_request, response) => {
    if (performance.now() < recovery) response.writeHead(503).end("Service Unavailable");
    else response.end("<h1>All systems normal</h1>");
  };
  const pages: Readonly<Record<string, Page>> = { ...PAGES, "/flaky": flaky };
  const server = createServer((request, response) => {
    const page = pages[request.url ?? ""];
    if (page === undefined) response.writeHead(404).end("Not Found");
    else page(request, response);
  });
  const host = `127.0.0.1:${await listen(server)}`;
  // Nobody answers there.
  const closed = `127.0.0.1:${await freePort()}`;
  return {
    host,
    hostsFile: hostsFileOf(host, closed),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function hostsFileOf(host: string, closed: string): string {
  return [
    "# DOMAIN FREQUENCY (REGEX)",
    `http://${host}/fine 1s (systems? normal)`,
    `http://${host}/flaky 1s (normal)`,
    `http://${host}/slow 2s`,
    `http://${host}/broken 2s`,
    `http://${host}/moved 2s (normal)`,
    `http://${host}/shop 2s (Add to basket)`,
    `http://${host}/torn 2s`,
    `http://${host}/gone 2s`,
    `http://${closed}/ 2s`,
    "",
  ].join("\n");
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
