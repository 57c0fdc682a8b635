import { createServer as createTcpServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { TlsOptions, TLSSocket } from "node:tls";
import type { Identity } from "./certificates.ts";

/** A request as it came. */
export interface Request {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Each byte as one sign. */
  readonly body: string;
  /** The name that the client asked for in its TLS handshake. */
  readonly serverName: string | undefined;
  /** True where the client resumed an older TLS session instead of a full handshake. */
  readonly isResumed: boolean;
}

/** Answers a request with any bytes. */
export type Page = (socket: Socket, request: Request) => void;

/**
 * A small site on loopback that answers with exact bytes. Disposing of it closes all its
 * connections.
 */
export interface Site extends AsyncDisposable {
  readonly port: number;
  readonly requests: readonly Request[];
  /** Connections ever accepted. */
  readonly accepted: number;
  /** Connections that are open now. */
  readonly open: number;
}

export interface SiteOptions {
  readonly address?: string;
  /** The identity with which it speaks TLS. */
  readonly identity?: Identity;
  /** Its other settings of TLS. */
  readonly tls?: TlsOptions;
  /** Milliseconds from accepting a connection to the TLS handshake. */
  readonly handshakeDelay?: number;
  /**
   * Called for each new connection before the client sends anything. True: it takes the connection
   * over, and incoming bytes are dropped.
   */
  readonly onAccept?: (socket: Socket) => boolean;
}

/** Opens a site; `page` answers every request. */
export async function openSite(
  page: Page,
  { address = "127.0.0.1", identity, tls, handshakeDelay = 0, onAccept }: SiteOptions = {},
): Promise<Site> {
  const requests: Request[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  const track = (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  };
  const serve = (socket: Socket) => {
    // For TLS, the connection below it: Node can reset only that one.
    const below = [...sockets].find(({ remotePort }) => remotePort === socket.remotePort);
    if (below !== undefined && below !== socket) socket.resetAndDestroy = () => below.resetAndDestroy() && socket;
    if (onAccept?.(socket)) return void socket.resume();
    let head = "";
    const read = (chunk: Buffer) => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      const request = parse(head, socket);
      if (request.body.length < Number(request.headers["content-length"] ?? 0)) return;
      socket.off("data", read).resume();
      requests.push(request);
      page(socket, request);
    };
    socket.on("error", () => {}).on("data", read);
  };
  const inner = identity === undefined
    ? createTcpServer(serve)
    : createTlsServer({ ...identity, ALPNProtocols: ["http/1.1"], ...tls }, serve);
  inner.on("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
  const server = handshakeDelay === 0 ? inner : createTcpServer((socket) => {
    setTimeout(() => inner.emit("connection", socket), handshakeDelay);
  });
  server.on("connection", track);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    get accepted() {
      return accepted;
    },
    get open() {
      return sockets.size;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A port of 127.0.0.1 without a listener: it was free a moment ago. */
export async function refusedPort(): Promise<number> {
  const site = await openSite(() => {});
  await site[Symbol.asyncDispose]();
  return site.port;
}

/** The bytes of a whole answer, with its Content-Length. */
export function answer(
  status: string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Uint8Array = "",
): Buffer {
  const bytes = Buffer.from(body as Uint8Array);
  const lines = Object.entries({ "Content-Length": bytes.length, ...headers }).map(([name, value]) =>
    `${name}: ${value}\r\n`
  );
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${lines.join("")}\r\n`), bytes]);
}

function parse(text: string, socket: Socket): Request {
  const end = text.indexOf("\r\n\r\n");
  const [line = "", ...lines] = text.slice(0, end).split("\r\n");
  const [method = "", path = ""] = line.split(" ");
  const headers = lines.map((header) => {
    const colon = header.indexOf(":");
    return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()] as const;
  });
  const tls = "encrypted" in socket ? socket as TLSSocket & { servername?: string | false } : undefined;
  return {
    method,
    path,
    headers: Object.fromEntries(headers),
    body: text.slice(end + 4),
    serverName: tls?.servername || undefined,
    isResumed: tls?.isSessionReused() ?? false,
  };
}
