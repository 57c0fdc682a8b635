import type { LookupAddress } from "node:dns";
import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { isResourceExhausted } from "../exhausted_resource.ts";

// The system's files about names: how each is parsed, and read again when it changes.

/** /etc/hosts: addresses by name, in lower case. */
export type HostsTable = ReadonlyMap<string, readonly LookupAddress[]>;

/** Parses /etc/hosts; a line without an address says nothing. */
export function parseHostsTable(text: string): HostsTable {
  const table = new Map<string, LookupAddress[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const family = isIP(address);
    if (family === 0) continue;
    for (const name of names.map((name) => name.toLowerCase().replace(/\.$/, ""))) {
      const known = table.get(name);
      if (known === undefined) table.set(name, [{ address, family }]);
      else known.push({ address, family });
    }
  }
  return table;
}

/** /etc/resolv.conf: the name servers, and how to ask them (resolv.conf(5)). */
export interface ResolverConfig {
  /** Addresses. */
  readonly servers: readonly string[];
  /** Suffixes for a name that is not found as it is, or has few dots. */
  readonly search: readonly string[];
  /** A name with fewer dots is tried with `search` first. */
  readonly ndots: number;
  /** Seconds until the next server is asked. */
  readonly timeout: number;
  /** How often each server is asked. */
  readonly attempts: number;
  /** Each lookup begins with another server. */
  readonly rotate: boolean;
  /** Asks over TCP from the start. */
  readonly overTcp: boolean;
  /** False where an option is not known here: the system has to be asked. */
  readonly isUnderstood: boolean;
}

/** Options without a meaning here. */
const HARMLESS = /^(edns0|trust-ad|no-reload|single-request|single-request-reopen|insecure1|insecure2|debug)$/;
/** The limits of glibc (resolv.h). */
const MOST = { servers: 3, ndots: 15, timeout: 30, attempts: 5 };

/** Parses /etc/resolv.conf; where that has no suffixes, `domain`, this machine's own, is one. */
export function parseResolverConfig(text: string, domain: string): ResolverConfig {
  const servers: string[] = [];
  const config = { ndots: 1, timeout: 5, attempts: 2, rotate: false, overTcp: false, isUnderstood: true };
  let search = domain === "" ? [] : [domain];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.replace(/^\s*[#;].*/, "").trim().split(/\s+/);
    if (keyword === "nameserver" && isIP(values[0] ?? "") !== 0) servers.push(values[0] as string);
    if (keyword === "domain") search = values.slice(0, 1);
    if (keyword === "search") search = values;
    if (keyword === "options") { for (const option of values) readOption(option, config); }
  }
  return {
    ...config,
    servers: servers.length === 0 ? ["127.0.0.1"] : servers.slice(0, MOST.servers),
    search: search.map((suffix) => suffix.replace(/\.$/, "")).filter((suffix) => suffix !== ""),
  };
}

type Options = {
  -readonly [K in Exclude<keyof ResolverConfig, "servers" | "search">]: ResolverConfig[K];
};

function readOption(option: string, config: Options): void {
  const [, name, number] = /^(ndots|timeout|attempts):(\d+)$/.exec(option) ?? [];
  if (name !== undefined) {
    const key = name as "ndots" | "timeout" | "attempts";
    config[key] = Math.max(Math.min(Number(number), MOST[key]), key === "ndots" ? 0 : 1);
  } else if (option === "rotate") config.rotate = true;
  else if (option === "use-vc") config.overTcp = true;
  else if (!HARMLESS.test(option)) config.isUnderstood = false;
}

/** /etc/nsswitch.conf: the sources of names (nsswitch.conf(5)). */
export interface Sources {
  /** False where files do not come before DNS: the system has to be asked for every name. */
  readonly isUnderstood: boolean;
  /** True where there are others (mDNS, say): the system may know more names. */
  readonly hasOthers: boolean;
}

/** Parses /etc/nsswitch.conf; without a line for hosts, files and DNS are the sources. */
export function parseSources(text: string): Sources {
  const line = /^[ \t]*hosts:(.*)$/m.exec(text)?.[1] ?? "files dns";
  const sources = line.replace(/#.*/, "").replaceAll(/\[[^\]]*\]/g, " ").trim().split(/\s+/);
  const files = sources.indexOf("files");
  // Where systemd-resolved ("resolve") is used, resolv.conf has its address.
  const dns = sources.findIndex((source) => source === "dns" || source === "resolve");
  return {
    isUnderstood: files !== -1 && files < dns,
    hasOthers: sources.some((source) => !["files", "dns", "resolve"].includes(source)),
  };
}

/** Milliseconds until a file is looked at again, as in Go's resolver. */
const FRESH = 5000;

/** A file of settings that may change at any time; null while it cannot be read. */
export class WatchedFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  #value: T | null = null;
  #version = "";
  #checkedAt = -Infinity;

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path;
    this.#parse = parse;
  }

  /**
   * Gives the file's value, which is at most 5 s old. Throws only where this machine lacks open
   * files or memory, and the file was never read.
   */
  read(): T | null {
    const now = performance.now();
    if (now - this.#checkedAt < FRESH) return this.#value;
    this.#checkedAt = now;
    try {
      const { ino, mtimeMs, size } = statSync(this.#path);
      const version = `${ino} ${mtimeMs} ${size}`;
      if (version !== this.#version) this.#value = this.#parse(readFileSync(this.#path, "utf8"));
      this.#version = version;
    } catch (error) {
      if (isResourceExhausted(error)) {
        this.#checkedAt = -Infinity;
        if (this.#version === "") throw error;
        return this.#value;
      }
      // A file that is missing or forbidden does not end the checks.
      this.#version = "";
      this.#value = null;
    }
    return this.#value;
  }
}
