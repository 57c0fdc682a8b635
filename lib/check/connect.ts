import type { Socket } from "node:net";
import { dial } from "./dial.ts";
import { Failure } from "./failure.ts";
import { type ConnectOptions, literalAddress, permitted, resolve } from "./resolve.ts";
import { secure, type Secured } from "./secure.ts";
import type { Timings } from "./timings.ts";

/**
 * A fresh connection that is ready for a request, or the reason why there is none. Without TLS
 * nothing expires.
 */
export type Connection = Omit<Secured, "outcome"> & { readonly outcome: Socket | Failure };

/**
 * Resolves the name of `url`, connects, and shakes hands for https:. Each is a phase of `timings`.
 */
export async function connect(
  url: URL,
  options: ConnectOptions,
  timings: Timings,
  signal: AbortSignal,
): Promise<Connection> {
  const found = await find(url.hostname, options, timings, signal);
  if (found instanceof Failure) return withoutTls(found);
  timings.enter("connect");
  const addresses = permitted(found, options.isBlocked);
  if (addresses instanceof Failure) return withoutTls(addresses);
  const socket = await dial(addresses, portOf(url), signal);
  if (socket instanceof Failure || url.protocol === "http:") return withoutTls(socket);
  timings.enter("tls");
  return secure(socket, url.hostname, options.certificates, signal);
}

function withoutTls(outcome: Socket | Failure): Connection {
  return { outcome, expiresAt: null, answerBegins() {} };
}

async function find(hostname: string, { resolver }: ConnectOptions, timings: Timings, signal: AbortSignal) {
  const literal = literalAddress(hostname);
  if (literal === undefined) {
    timings.enter("dns");
    return await resolve(hostname, resolver, signal);
  }
  timings.skip("dns");
  return [literal];
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}
