// Sites in a process of their own: with the argument "good" one that answers after 100 ms, with
// "hostile" the answers that the tests have for the parser's bounds, with "tls" those that misuse
// TLS. Prints as JSON its port, or the ports of "tls" by kind and the file of the authority that
// most of them have their certificates of.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Certificates } from "../../tests/support/certificates.ts";
import { PAGES } from "../../tests/support/check_pages.ts";
import { answer, openSite } from "../../tests/support/site.ts";
import { TLS_FLOODS } from "../../tests/support/tls_floods.ts";

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

/** Ends at SIGTERM alone: OpenSSL's servers and the certificates' folder have to go then. */
async function openTls(): Promise<{ ports: Record<string, number>; authority: string }> {
  const stack = new AsyncDisposableStack();
  const certificates = stack.use(new Certificates());
  const floods = Object.entries(TLS_FLOODS).map(async ([kind, open]) =>
    [kind, stack.use(await open(certificates)).port] as const
  );
  process.once("SIGTERM", () => void stack.disposeAsync().finally(() => process.exit(0)));
  return { ports: Object.fromEntries(await Promise.all(floods)), authority: certificates.trustedFile };
}

const OPEN: Readonly<Record<string, () => Promise<unknown>>> = { good: openGood, hostile: openHostile, tls: openTls };
const open = OPEN[process.argv[2] ?? ""];
if (open === undefined) throw new Error(`The argument is one of ${Object.keys(OPEN).join(", ")}`);
process.stdout.write(`${JSON.stringify(await open())}\n`);
