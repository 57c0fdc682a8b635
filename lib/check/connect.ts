import type { LookupAddress } from "node:dns";
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import { wait } from "../async/waits.ts";
import { writeHostAndPort } from "../config/host_and_port.ts";
import { literalAddress } from "../net/ip_address.ts";
import { NoAddress, type Resolver } from "../net/resolver.ts";
import { codeOf, Failure, ownFailure } from "./failure.ts";
import { secure, type Secured, type Trust } from "./secure.ts";
import type { Timings } from "./timings.ts";

/** How the addresses of a host are found, and which of them may be dialed. */
export interface ConnectOptions {
  readonly resolver: Resolver;
  /** True for an address that must not be dialed; null: all may be. */
  readonly isBlocked: ((address: string) => boolean) | null;
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
  trust: Trust,
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
  return { ...await secure(socket, url.hostname, trust, signal), remoteAddress };
}

function withoutTls(outcome: Socket | Failure): Connection {
  return { outcome, remoteAddress: null, expiresAt: null };
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

/**
 * Milliseconds until the next address is tried beside those still connecting (RFC 8305, section 5).
 */
const STAGGER = 250;

/**
 * Errors that may be about this machine (without IPv6, for example) rather than the host. Any other
 * error explains a failure better.
 */
const LOCAL = new Set(["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EINVAL"]);
const NO_PORT = "this machine has no free port, or no address, to connect from";

/** A link-local address without its interface: Node picks one and waits, the system refuses it. */
const WITHOUT_ZONE = /^fe[89ab][0-9a-f]:[^%]*$/i;

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "the system gave the connection up",
  EACCES: "the system forbids the connection",
  EINVAL: "a link-local address needs an interface, which a URL cannot name",
};

/**
 * Connects by TCP to the first of `addresses` that accepts ("Happy Eyeballs", RFC 8305). The
 * `autoSelectFamily` of `node:net` is no help: it drops an attempt after 250 ms for the next
 * address. So it calls a host dead that is merely far away.
 */
export function dial(
  addresses: readonly LookupAddress[],
  port: number,
  signal: AbortSignal,
): Promise<Socket | Failure> {
  return wait(signal, (done) => {
    const waiting = alternate(sample(addresses));
    const dialing = new Set<Socket>();
    let best: { readonly code: string; readonly failure: Failure } | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const close = () => {
      clearTimeout(timer);
      for (const socket of dialing) socket.destroy();
    };
    const next = () => {
      clearTimeout(timer);
      const address = waiting.shift();
      if (address !== undefined) attempt(address);
      else if (dialing.size === 0) done(best?.failure ?? new Failure("connect", "the name has no address"));
    };
    const fail = (error: Error, address: LookupAddress) => {
      const code = codeOf(error);
      if (best === undefined || LOCAL.has(best.code)) best = { code, failure: explain(error, address, port) };
      next();
    };
    const attempt = (address: LookupAddress) => {
      if (WITHOUT_ZONE.test(address.address)) return fail(Object.assign(new Error(), { code: "EINVAL" }), address);
      const socket = open(address.address, port, (error) => {
        dialing.delete(socket);
        if (error === null) {
          close();
          return done(socket);
        }
        const own = ownFailure(error);
        if (own !== null) {
          // An address that was not tried might have answered: the host is neither up nor down,
          // whatever another address says.
          close();
          return done(own);
        }
        fail(error, address);
      });
      dialing.add(socket);
      if (waiting.length > 0) timer = setTimeout(next, STAGGER);
    };
    next();
    return close;
  });
}

/** Begins to connect. `ended` is called once: with null where that worked, else with the error. */
function open(host: string, port: number, ended: (error: Error | null) => void): Socket {
  // Without `noDelay` a request after a TLS handshake may wait 40 ms for the server's
  // acknowledgement.
  const socket = connectTcp({ host, port, noDelay: true });
  socket.once("error", ended);
  // An error between two phases must not end the process. The next phase finds the socket closed.
  socket.on("error", () => {});
  socket.once("connect", () => {
    socket.off("error", ended);
    ended(null);
  });
  return socket;
}

/**
 * The most addresses of a name that one check tries. A name may have thousands, and a check would
 * knock at all of them within a moment.
 */
const MOST_ADDRESSES = 16;

/**
 * Takes some of many addresses, from each family, and others another time. They keep their order,
 * from any beginning.
 */
export function sample(addresses: readonly LookupAddress[], random: () => number = Math.random): LookupAddress[] {
  if (addresses.length <= MOST_ADDRESSES) return [...addresses];
  const families = Map.groupBy(addresses, ({ family }) => family);
  const share = MOST_ADDRESSES / families.size;
  return [...families.values()].flatMap((family) => {
    const start = Math.floor(random() * family.length);
    return [...family.slice(start), ...family.slice(0, start)].slice(0, share);
  });
}

/**
 * Orders addresses with the two families in turn, the family of the first one first (RFC 8305,
 * section 4).
 */
export function alternate(addresses: readonly LookupAddress[]): LookupAddress[] {
  const isFirst = ({ family }: LookupAddress) => family === addresses[0]?.family;
  const first = addresses.filter(isFirst);
  const second = addresses.filter((address) => !isFirst(address));
  return addresses.flatMap((_, index) => [first[index], second[index]]).filter((address) => address !== undefined);
}

function explain(error: Error, { address }: LookupAddress, port: number): Failure {
  if (codeOf(error) === "EADDRNOTAVAIL") return new Failure("missed", NO_PORT);
  return new Failure("connect", `${writeHostAndPort(address, port)}: ${REASONS[codeOf(error)] ?? error.message}`);
}
