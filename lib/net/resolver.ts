import { lookup } from "node:dns";
import type { LookupAddress } from "node:dns";
import { hostname, networkInterfaces } from "node:os";
import process from "node:process";
import { parseHostsTable, parseResolverConfig, parseSources } from "./resolver/files.ts";
import { askServers } from "./resolver/stub.ts";
import { WatchedFile } from "./resolver/watched_file.ts";
import { isResourceExhausted } from "./exhausted_resource.ts";

/** Addresses of names, asked for anew every time. */
export interface Resolver {
  /**
   * All addresses of a name, in the order in which to try them, or why there are none. Rejects with
   * `signal`'s reason when it aborts, and with the system's error where this machine lacks what
   * asking takes.
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

/** Where the system keeps what it knows of names; for tests. */
export interface ResolverOptions {
  readonly hosts?: string;
  readonly resolver?: string;
  readonly sources?: string;
  /** Of the name servers. */
  readonly port?: number;
}

/**
 * Resolves names as the system does, but without its `getaddrinfo`, which occupies a thread for as
 * long as a lookup takes: Node has two for that (half of UV_THREADPOOL_SIZE, which is fixed before
 * a program starts), and two names whose servers do not answer keep all others waiting. It cannot
 * be called off either. So this goes the way that Go's resolver goes: it reads /etc/hosts and
 * /etc/resolv.conf (name servers, search domains, ndots, timeout, attempts) and asks the servers
 * itself, over sockets, of which there can be any number. What it does not know of is the system's
 * again: where nsswitch.conf or resolv.conf say what is not understood here, and where there is no
 * resolv.conf, as on Windows, or it is not what counts, as on macOS; and, for names that neither
 * files nor DNS know, where nsswitch.conf names further sources (mDNS, LDAP). Nothing is cached:
 * the time that a visitor would wait is what is measured. (c-ares, which Node has built in, knows
 * no search domains, and what Deno has in its place retries otherwise.)
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

/** What `getaddrinfo` says, for a person. */
const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such name",
  ENODATA: "the name has no address",
  EAI_AGAIN: "the name server does not answer",
  EAI_FAIL: "the name server failed",
};

/** The system's own way; it cannot be called off, so what it says after `signal` is dropped. */
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

/** What stands behind this machine's own name: glibc searches it where resolv.conf names nothing. */
function ownDomain(): string {
  const name = allowed(hostname, "");
  const dot = name.indexOf(".");
  return dot === -1 ? "" : name.slice(dot + 1);
}

/** Milliseconds for which the machine's own addresses are taken to be what they were. */
const FRESH = 30_000;
/** Global unicast, without the private fd00::/8, from which the Internet is seldom reached. */
const GLOBAL = /^[23]/;

/**
 * Which family goes first: IPv6 where this machine has a global address of its own, else IPv4 (RFC
 * 6724, section 6, rules 2 and 5, for what they come to): without one, every first attempt would
 * fail, or wait for Happy Eyeballs.
 */
class Preference {
  #isV6 = true;
  #checkedAt = -Infinity;

  sort(addresses: readonly LookupAddress[]): readonly LookupAddress[] {
    if (new Set(addresses.map(({ family }) => family)).size < 2) return addresses;
    const isFirst = ({ address, family }: LookupAddress) => family === 6 && (address === "::1" || this.#prefersV6());
    return [...addresses.filter(isFirst), ...addresses.filter((address) => !isFirst(address))];
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

/** What the system says of itself, or what is assumed where Deno was not allowed to ask. */
function allowed<T>(read: () => T, assumed: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && error.name === "NotCapable") return assumed;
    throw error;
  }
}
