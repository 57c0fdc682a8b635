import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { hostname } from "node:os";
import { withoutBrackets } from "../config/host_and_port.ts";
import type { ListenAddress } from "../config/setting_types.ts";
import { UsageError } from "../config/usage_error.ts";

/** The answer to a GET. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** An open HTTP port. Disposing of it closes it, with all its connections. */
export interface HttpPort extends AsyncDisposable {
  readonly port: number;
}

/**
 * Connections at the same time. Beyond this the oldest one is closed. One client with many open
 * connections must not keep others out, nor take all files.
 */
const MOST_CONNECTIONS = 64;
/**
 * Milliseconds until a request must have come, and until a connection without one is closed. The
 * last one is the time between two looks at them.
 */
const TIMEOUTS = {
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
} as const;

/**
 * Answers GET and HEAD for the paths of `pages`. Each page is made anew for every request. Throws a
 * `UsageError` where it cannot listen at the address.
 */
export async function openHttpPort(
  { host, port }: ListenAddress,
  /** How messages name the setting of the address. */
  setting: string,
  pages: Readonly<Record<string, () => Page | Promise<Page>>>,
): Promise<HttpPort> {
  const names = new Set([host.toLowerCase(), ownName()]);
  const server = createServer(TIMEOUTS, async (request, response) => {
    const { status, type, body } = isOurs(request.headers.host, names)
      ? await answer(request.method, request.url, pages)
      : plainText(421, `this is not the server of that name: ask by address, or write the name in ${setting}\n`);
    response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) }).end(body);
  });
  const open = new Set<Socket>();
  server.on("connection", (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    const [oldest] = open;
    if (open.size > MOST_CONNECTIONS) oldest?.destroy();
  });
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    const { code, message, name } = error as NodeJS.ErrnoException;
    if (name === "NotCapable") throw error;
    throw new UsageError([`${setting} is "${host}:${port}": cannot listen there (${code ?? message})`]);
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

/** This machine's name; empty where Deno was not allowed to ask for it. */
function ownName(): string {
  try {
    return hostname().toLowerCase();
  } catch (error) {
    if ((error as Error).name === "NotCapable") return "";
    throw error;
  }
}

/**
 * Names that no public name server knows (RFC 6761, RFC 6762, and .internal). Kubernetes and home
 * networks have them.
 */
const PRIVATE_NAME = /(?:^|\.)(?:localhost|local|internal|svc|home\.arpa)$/;

/**
 * True where a Host may be this server's. A page on the web can give itself a name that leads to
 * this address ("DNS rebinding"). It can then make a browser ask here, and read the answer. It
 * cannot do so by an address, nor by a name without a dot.
 */
function isOurs(field: string | undefined, names: ReadonlySet<string>): boolean {
  if (field === undefined) return true;
  const name = withoutBrackets(field.toLowerCase().replace(/:\d*$/, "")).replace(/\.$/, "");
  return isIP(name) !== 0 || !name.includes(".") || names.has(name) || PRIVATE_NAME.test(name);
}

async function answer(
  method: string | undefined,
  url: string | undefined,
  pages: Readonly<Record<string, () => Page | Promise<Page>>>,
): Promise<Page> {
  const path = url?.split("?")[0] ?? "";
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page === undefined) return plainText(404, `no such page: ask for ${Object.keys(pages).join(", ")}\n`);
  if (method !== "GET" && method !== "HEAD") return plainText(405, "only GET is answered\n");
  try {
    return await page();
  } catch (error) {
    // A page that fails is no reason to end the program.
    return plainText(500, `${(error as Error).message}\n`);
  }
}

/** A page of plain text. */
export function plainText(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body };
}

/** A page that holds one JSON document. */
export function json(status: number, value: unknown): Page {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
