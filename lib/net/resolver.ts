import { randomInt } from "node:crypto";
import { lookup } from "node:dns";
import type { LookupAddress } from "node:dns";
import { hostname, networkInterfaces } from "node:os";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { isResourceExhausted } from "./exhausted_resource.ts";
import { ask, isAskable, RCODES, type Reply, type Server, TYPES } from "./resolver/dns.ts";
import {
  parseHostsTable,
  parseResolverConfig,
  parseSources,
  type ResolverConfig,
  WatchedFile,
} from "./resolver/files.ts";

/** Finds addresses of names, and asks anew every time. */
export interface Resolver {
  /**
   * Gives all addresses of a name, in the order in which to try them, or why there are none.
   * Rejects with `signal`'s reason when it aborts, and with the system's error where this machine
   * lacks files or memory.
   */
  resolve(name: string, signal: AbortSignal): Promise<readonly LookupAddress[] | NoAddress>;
}

/** Why a name has no address, for a person. */
export class NoAddress {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

/** The system's files about names; only tests need others. */
export interface ResolverOptions {
  readonly hosts?: string;
  readonly resolver?: string;
  readonly sources?: string;
  /** The name servers' port. */
  readonly port?: number;
}

/**
 * Resolves names as the system does, but without its `getaddrinfo`. That occupies a thread for the
 * whole lookup, and cannot be cancelled. Node has two threads for it (half of UV_THREADPOOL_SIZE,
 * which is fixed before a program starts): two silent name servers would keep all names waiting.
 *
 * So it does what Go's resolver does. It reads /etc/hosts and /etc/resolv.conf (name servers,
 * search domains, ndots, timeout, attempts), and asks the servers over sockets, which have no such
 * limit. It leaves every name to the system outside Linux, where resolv.conf is not the whole
 * truth. It does so, too, without a resolv.conf, or where that or nsswitch.conf is not understood.
 * A name that neither files nor DNS know goes to the system where nsswitch.conf has further sources
 * (mDNS, LDAP).
 *
 * It caches nothing: a check measures the time that a visitor would wait.
 */
export function systemResolver(options: ResolverOptions = {}): Resolver {
  const hosts = new WatchedFile(options.hosts ?? "/etc/hosts", parseHostsTable);
  const resolver = new WatchedFile(
    options.resolver ?? "/etc/resolv.conf",
    (text) => parseResolverConfig(text, ownDomain()),
  );
  const sources = new WatchedFile(options.sources ?? "/etc/nsswitch.conf", parseSources);
  const preference = new Preference();
  let turn = 0;
  return {
    async resolve(name, signal) {
      signal.throwIfAborted();
      const [config, { isUnderstood, hasOthers }] = [resolver.read(), sources.read() ?? parseSources("")];
      if (process.platform !== "linux" || !isUnderstood || config?.isUnderstood !== true) {
        return await askSystem(name, signal);
      }
      const known = hosts.read()?.get(name.toLowerCase().replace(/\.$/, ""));
      if (known !== undefined) return preference.sort(known);
      const found = await askServers(name, config, options.port ?? 53, turn++, signal);
      if (found.addresses !== null) return preference.sort(found.addresses);
      return found.isCertain && hasOthers ? await askSystem(name, signal) : new NoAddress(found.reason);
    },
  };
}

/** A name's addresses, or why the name servers have none, and whether that is certain. */
type Found =
  | { readonly addresses: readonly LookupAddress[] }
  | { readonly addresses: null; readonly reason: string; readonly isCertain: boolean };

const NO_SUCH_NAME: Found = { addresses: null, reason: "no such name", isCertain: true };
const NO_ADDRESS: Found = { addresses: null, reason: "the name has no address", isCertain: true };

/** Names of the codes for a failure (RFC 1035, section 4.1.1). */
const CODES: Readonly<Record<number, string>> = { 1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED" };

/**
 * Asks the name servers of `config`, at `port`, for IPv4 and IPv6 at once. The dots of the name
 * decide whether it is tried alone or with a suffix first. `turn` counts lookups, for the rotation.
 * Rejects as `ask` does.
 */
async function askServers(
  name: string,
  config: ResolverConfig,
  port: number,
  turn: number,
  signal: AbortSignal,
): Promise<Found> {
  let failure: Found | undefined;
  let negative: Found = NO_SUCH_NAME;
  for (const candidate of candidates(name, config)) {
    if (!isAskable(candidate)) continue;
    const found = await askFor(candidate, config, port, turn, signal);
    if (found.addresses !== null) return found;
    // A suffix whose servers fail must not hide the name itself; glibc goes on, too. Servers that
    // answered nothing would answer nothing again.
    if (!found.isCertain) failure ??= found;
    if (found === UNANSWERED) break;
    if (found === NO_ADDRESS) negative = found;
  }
  return failure === undefined ? negative : failure;
}

/** The full names that a name may stand for, in the order in which glibc tries them. */
export function candidates(name: string, { search, ndots }: ResolverConfig): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const suffixed = search.map((suffix) => `${name}.${suffix}`);
  const dots = name.split(".").length - 1;
  return dots >= ndots ? [name, ...suffixed] : [...suffixed, name];
}

function unsure(reason: string): Found {
  return { addresses: null, reason, isCertain: false };
}

const UNANSWERED: Found = { addresses: null, reason: "the name server does not answer", isCertain: false };

const UNREADABLE = unsure("the name server's answer cannot be read");
const CUT = unsure("the name server's answer is cut off, and it does not answer over TCP");

/** Milliseconds between two rounds over all servers. */
const ROUND_PAUSE = 250;

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** Asks for one full name, server after server, until one of them knows. */
async function askFor(
  name: string,
  config: ResolverConfig,
  port: number,
  turn: number,
  signal: AbortSignal,
): Promise<Found> {
  let failure: Found = UNANSWERED;
  for (const [index, server] of serversInOrder(config, port, turn).entries()) {
    // All have failed, and at once: dnsmasq, for one, refuses more than 150 names at a time.
    if (index > 0 && index % config.servers.length === 0 && failure !== UNANSWERED) await pause(ROUND_PAUSE, signal);
    const questions = [TYPES.AAAA, TYPES.A].map((type) => ({ id: randomInt(65_536), name, type }));
    const replies = await ask(server, questions, config.overTcp, config.timeout, signal);
    const found = judgeReplies(replies);
    if (found.addresses !== null || found.isCertain) return found;
    if (found !== UNANSWERED) failure = found;
  }
  return failure;
}

function judgeReplies(replies: readonly (Reply | undefined)[]): Found {
  const addresses = replies.flatMap((reply) => reply?.addresses ?? []);
  if (addresses.length > 0) return { addresses };
  // For either type: a name that does not exist has neither.
  if (replies.some((reply) => reply?.code === RCODES.noSuchName)) return NO_SUCH_NAME;
  if (replies.some((reply) => reply?.isTruncated)) return CUT;
  if (replies.every((reply) => reply?.code === RCODES.noError)) return NO_ADDRESS;
  if (replies.some((reply) => reply?.code === RCODES.unreadable)) return UNREADABLE;
  const code = replies.find((reply) => reply !== undefined && reply.code !== RCODES.noError)?.code;
  if (code !== undefined) return unsure(`the name server failed (${CODES[code] ?? code})`);
  const [isV6Said, isV4Said] = replies.map((reply) => reply !== undefined);
  if (isV6Said === isV4Said) return UNANSWERED;
  return unsure(
    `the name server knows no ${isV6Said ? "IPv6" : "IPv4"} address, and does not answer for ${
      isV6Said ? "IPv4" : "IPv6"
    }`,
  );
}

/** The servers in the order in which to ask them, over all attempts. */
function serversInOrder({ servers, attempts, rotate }: ResolverConfig, port: number, turn: number): readonly Server[] {
  const first = rotate ? turn % servers.length : 0;
  const round = [...servers.slice(first), ...servers.slice(0, first)].map((address) => ({ address, port }));
  return Array.from({ length: attempts }, () => round).flat();
}

/** The codes of `getaddrinfo`, for a person. */
const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such name",
  ENODATA: "the name has no address",
  EAI_AGAIN: "the name server does not answer",
  EAI_FAIL: "the name server failed",
};

/** Asks the system. That cannot be cancelled: an answer after `signal` has aborted is dropped. */
function askSystem(name: string, signal: AbortSignal): Promise<readonly LookupAddress[] | NoAddress> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    lookup(name, { all: true }, (error, addresses) => {
      signal.removeEventListener("abort", abort);
      if (error === null && addresses.length > 0) return resolve(addresses);
      if (isResourceExhausted(error)) return reject(error);
      const code = error === null ? "ENODATA" : error.code ?? error.message;
      resolve(new NoAddress(REASONS[code] ?? `the name cannot be resolved (${code})`));
    });
  });
}

/** The domain of this machine's own name: glibc searches it where resolv.conf names none. */
function ownDomain(): string {
  const name = allowed(hostname, "");
  const dot = name.indexOf(".");
  return dot === -1 ? "" : name.slice(dot + 1);
}

/** Milliseconds until the machine's own addresses are read again. */
const FRESH = 30_000;
/** Global unicast addresses. The private fd00::/8 seldom reaches the Internet. */
const GLOBAL = /^[23]/;

/**
 * Puts one family first: IPv6 for loopback, and where this machine has a global IPv6 address; else
 * IPv4. Without such an address every first attempt would fail, or wait for Happy Eyeballs. RFC
 * 6724, section 6, rules 2 and 5, come to the same.
 */
class Preference {
  #isV6 = true;
  #checkedAt = -Infinity;

  sort(addresses: readonly LookupAddress[]): readonly LookupAddress[] {
    if (new Set(addresses.map(({ family }) => family)).size < 2) return addresses;
    const first = addresses.some(({ address }) => address === "::1") || this.#prefersV6() ? 6 : 4;
    return addresses.toSorted((a, b) => Number(b.family === first) - Number(a.family === first));
  }

  #prefersV6(): boolean {
    const now = performance.now();
    if (now - this.#checkedAt >= FRESH) {
      this.#checkedAt = now;
      this.#isV6 = allowed(hasGlobalV6, true);
    }
    return this.#isV6;
  }
}

function hasGlobalV6(): boolean {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ family, address }) => family === "IPv6" && GLOBAL.test(address));
}

/** A fact about this machine, or `assumed` where Deno is not allowed to read it. */
function allowed<T>(read: () => T, assumed: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && error.name === "NotCapable") return assumed;
    throw error;
  }
}
