import type { Socket } from "node:net";
import { dial } from "./dial.ts";
import { Failure } from "./failure.ts";
import { literalAddress, resolve } from "./resolve.ts";
import { secure } from "./secure.ts";
import type { Secured } from "./secure.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** A fresh connection that is ready for a request, or why there is none; without TLS nothing expires. */
export type Connection = Omit<Secured, "outcome"> & { readonly outcome: Socket | Failure };

/** Resolves the name of `url`, connects, and with https: shakes hands; each a phase of `watch`. */
export async function connect(url: URL, watch: Stopwatch, signal: AbortSignal): Promise<Connection> {
  const addresses = await find(url.hostname, watch, signal);
  if (addresses instanceof Failure) return { outcome: addresses, expiresAt: null };
  watch.enter("connect");
  const socket = await dial(addresses, portOf(url), signal);
  if (socket instanceof Failure || url.protocol === "http:") return { outcome: socket, expiresAt: null };
  watch.enter("tls");
  return secure(socket, url.hostname, signal);
}

async function find(hostname: string, watch: Stopwatch, signal: AbortSignal) {
  const literal = literalAddress(hostname);
  if (literal === undefined) {
    watch.enter("dns");
    return await resolve(hostname, signal);
  }
  watch.skip("dns");
  return [literal];
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}
