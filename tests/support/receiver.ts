import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** A request that a receiver got. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** What it did with it: a status, or nothing at all. */
  readonly behaviour: Behaviour;
}

export type Behaviour = number | "hang" | "accept and die";

/** Something that takes webhooks on loopback, and keeps what it got. */
export interface Receiver extends AsyncDisposable {
  readonly port: number;
  readonly received: readonly Received[];
  /** What it does with the next requests: a status, or nothing at all. */
  readonly behaviours: Behaviour[];
  /** What it does once these are over: 204, until somebody changes it. */
  usual: Behaviour;
}

/** Opens a receiver, at any free port where none is given. */
export async function openReceiver(port = 0): Promise<Receiver> {
  const received: Received[] = [];
  const behaviours: Receiver["behaviours"] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { url: path = "", headers } = request;
      const behaviour = behaviours.shift() ?? receiver.usual;
      received.push({ path, headers, body: Buffer.concat(chunks).toString(), behaviour });
      if (behaviour === "accept and die") request.socket.destroy();
      else if (behaviour !== "hang") response.writeHead(behaviour).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const receiver: Receiver = {
    port: (server.address() as AddressInfo).port,
    received,
    behaviours,
    usual: 204,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}
