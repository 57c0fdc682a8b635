import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { UsageError } from "./usage_error.ts";

/** Where to listen; port 0: any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** What is answered to a GET. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** An open HTTP port; closed, with all its connections, when it is disposed of. */
export interface HttpPort extends AsyncDisposable {
  readonly port: number;
}

/**
 * Answers GET and HEAD for the paths of `pages`, each made anew for every request. Throws a `UsageError` where the address cannot
 * be listened at.
 */
export async function openHttpPort(
  { host, port }: ListenAddress,
  pages: Readonly<Record<string, () => Page | Promise<Page>>>,
): Promise<HttpPort> {
  const server = createServer(async (request, response) => {
    const { status, type, body } = await answer(request.method, request.url, pages);
    response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) }).end(body);
  });
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException;
    if (name === "NotCapable") throw error;
    throw new UsageError([`--listen (LISTEN) is "${host}:${port}": cannot listen there (${code ?? message})`]);
  }
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  method: string | undefined,
  url: string | undefined,
  pages: Readonly<Record<string, () => Page | Promise<Page>>>,
): Promise<Page> {
  const path = url?.split("?")[0] ?? "";
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page === undefined) return text(404, `no such page: ask for ${Object.keys(pages).join(", ")}\n`);
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET is answered\n");
  try {
    return await page();
  } catch (error) {
    // A page that fails is no reason to end the program.
    return text(500, `${(error as Error).message}\n`);
  }
}

/** A page of plain text. */
export function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body };
}

/** A page that holds one JSON document. */
export function json(status: number, value: unknown): Page {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
