import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** The traffic that a relay swallows: the server's words, or those of both sides. */
export type Silence = "answers" | "everything";

/** A way to a server that a test can break. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Ends all present connections. New ones are taken. */
  cut(): void;
  /** From now on the present connections carry nothing more, and nobody is told. New ones work. */
  silence(what: Silence): void;
  /**
   * Holds back what the near side sends on the present connections, even if it hangs up meanwhile.
   * `release` lets it arrive after all.
   */
  hold(): { release(): void };
}

/**
 * Listens on a port of loopback (0: a free one) and passes everything on to another. Disposing of
 * it cuts all connections.
 */
export async function relay(port: number, toHost: string, toPort: number): Promise<Relay> {
  const sockets = new Map<Socket, "near" | "far">();
  const pairs = new Map<Socket, Socket>();
  const held = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(toPort, toHost);
    pairs.set(near, far);
    near.on("close", () => pairs.delete(near));
    for (const [socket, other, side] of [[near, far, "near"], [far, near, "far"]] as const) {
      sockets.set(socket, side);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        if (!held.has(other)) other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of sockets.keys()) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    cut,
    silence: (what) => {
      for (const [socket, side] of sockets) {
        if (side === "near" && what === "answers") continue;
        // Reads on and throws it away: full buffers would tell the other end.
        socket.unpipe();
        socket.resume();
      }
    },
    hold: () => {
      const kept = [...pairs].map(([near, far]) => {
        const words: Uint8Array[] = [];
        near.unpipe(far);
        near.on("data", (chunk: Uint8Array) => words.push(chunk));
        held.add(far);
        return { far, words };
      });
      return {
        release: () => {
          for (const { far, words } of kept) {
            held.delete(far);
            far.resume();
            far.end(Buffer.concat(words));
          }
        },
      };
    },
    async [Symbol.asyncDispose]() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
