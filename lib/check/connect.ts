import type { LookupAddress } from "node:dns";
import type { Socket } from "node:net";
import { literalAddress } from "../net/ip_address.ts";
import { NoAddress, type Resolver } from "../net/resolver.ts";
import { dial } from "./dial.ts";
import { Failure, ownFailure } from "./failure.ts";
import type { CertificateJudge } from "./judgement.ts";
import { secure, type Secured } from "./secure.ts";
import type { Timings } from "./timings.ts";

/**
 * How the addresses of a host are found, which of them may be dialed, and who judges its
 * certificates.
 */
export interface ConnectOptions {
  readonly resolver: Resolver;
  /** True for an address that must not be dialed; null: all may be. */
  readonly isBlocked: ((address: string) => boolean) | null;
  readonly certificates: CertificateJudge;
}

/**
 * A fresh connection that is ready for a request, or the reason why there is none. Without TLS
 * nothing expires.
 */
export type Connection = Omit<Secured, "outcome"> & {
  readonly outcome: Socket | Failure;
  /** The address that was connected to, without the zone of a link-local one; null: to none. */
  readonly remoteAddress: string | null;
};

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
  if (socket instanceof Failure) return withoutTls(socket);
  const remoteAddress = socket.remoteAddress?.replace(/%.*/, "") ?? null;
  if (url.protocol === "http:") return { ...withoutTls(socket), remoteAddress };
  timings.enter("tls");
  return { ...await secure(socket, url.hostname, options.certificates, signal), remoteAddress };
}

function withoutTls(outcome: Socket | Failure): Connection {
  return { outcome, remoteAddress: null, expiresAt: null, answerBegins() {} };
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

/** All addresses of a name, in the order in which to try them, or the failure of the check. */
export async function resolve(
  name: string,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly LookupAddress[] | Failure> {
  let found: Awaited<ReturnType<Resolver["resolve"]>>;
  try {
    found = await resolver.resolve(name, signal);
  } catch (error) {
    const own = ownFailure(error);
    if (own === null) throw error;
    return own;
  }
  return found instanceof NoAddress ? new Failure("dns", `${name}: ${found.reason}`) : found;
}

/**
 * Keeps the `addresses` that may be dialed. The dialer asks no resolver again: a name cannot stand
 * for a public address here, and for a private one a moment later.
 */
function permitted(
  addresses: readonly LookupAddress[],
  isBlocked: ConnectOptions["isBlocked"],
): readonly LookupAddress[] | Failure {
  if (isBlocked === null) return addresses;
  const allowed = addresses.filter(({ address }) => !isBlocked(address));
  if (allowed.length > 0) return allowed;
  return new Failure("connect", `${addresses[0]?.address} is a private address, and --block-private-addresses is on`);
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}
