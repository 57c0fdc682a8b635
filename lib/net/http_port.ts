import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { hostname } from "node:os";
import { withoutBrackets } from "../config/host_and_port.ts";
import type { ListenAddress } from "../config/setting_types.ts";
import { UsageError } from "../config/usage_error.ts";

/** The answer to a GET. */
export interface TextPage {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Answers for paths that are not pages of the port itself. */
export interface Site {
  /** Names by which this server is asked for, beside its own, in lower case. */
  readonly names: readonly string[];
  /** Answers a GET; of a HEAD the body is left out. */
  answer(request: Request): Promise<Response>;
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
 * Answers GET and HEAD for the paths of `pages`. Each page is made anew for every request. The site,
 * if there is one, answers for all other paths. Throws a `UsageError` where it cannot listen at the
 * address.
 */
export async function openHttpPort(
  { host, port }: ListenAddress,
  /** How messages name the setting of the address. */
  setting: string,
  pages: Pages,
  site: Site | null = null,
): Promise<HttpPort> {
  const names = new Set([host.toLowerCase(), ownName(), ...site?.names ?? []]);
  const server = createServer(TIMEOUTS, async (request, response) => {
    const { status, headers, body } = isOurs(request.headers.host, names) ? await answer(request, pages, site) : sent(
      plainText(421, `this is not the server of that name: ask by address, or write the name in ${setting}\n`),
    );
    const length = NO_BODY.has(status) ? {} : { "Content-Length": body.length };
    response.writeHead(status, { ...headers, ...length }).end(body);
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
    const advice = code === "EADDRINUSE" ? ": another program has this port, so stop it or write another port" : "";
    throw new UsageError([`${setting} is "${host}:${port}": cannot listen there (${code ?? message})${advice}`]);
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

async function answer(request: IncomingMessage, pages: Pages, site: Site | null): Promise<Answer> {
  const { method = "", url = "" } = request;
  const path = url.split("?")[0] ?? "";
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page === undefined && site === null) {
    return sent(plainText(404, `no such page: ask for ${Object.keys(pages).join(", ")}\n`));
  }
  if (method !== "GET" && method !== "HEAD") {
    return sent(plainText(405, "only GET is answered\n"), { Allow: "GET, HEAD" });
  }
  try {
    return page === undefined ? await ask(site as Site, request) : sent(await page());
  } catch (error) {
    // A page that fails is no reason to end the program.
    return sent(plainText(500, `${(error as Error).message}\n`));
  }
}

type Pages = Readonly<Record<string, () => TextPage | Promise<TextPage>>>;

/** Statuses whose answers have no body (RFC 9110). */
const NO_BODY: ReadonlySet<number> = new Set([204, 304]);

/** What is sent. */
interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

function sent({ status, type, body }: TextPage, headers: Answer["headers"] = {}): Answer {
  return { status, headers: { "Content-Type": type, ...headers }, body: Buffer.from(body) };
}

async function ask(site: Site, { url = "", headers }: IncomingMessage): Promise<Answer> {
  // Only a path is asked for: whatever else stands there must not become another server's name.
  const place = URL.parse(`http://localhost${url.startsWith("/") ? url : "/"}`);
  if (place === null) return sent(plainText(400, "no such address\n"));
  const known = headers["if-none-match"];
  // Asked as GET: Node leaves out the body where HEAD was asked for.
  const request = new Request(place, known === undefined ? {} : { headers: { "If-None-Match": known } });
  const response = await site.answer(request);
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: new Uint8Array(await response.arrayBuffer()),
  };
}

/** A page of plain text. */
export function plainText(status: number, body: string): TextPage {
  return { status, type: "text/plain; charset=utf-8", body };
}

/** A page that holds one JSON document. */
export function json(status: number, value: unknown): TextPage {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
