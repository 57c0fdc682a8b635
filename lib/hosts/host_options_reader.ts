import { type HostOptions, type HostTls, sendsBody } from "./host_options.ts";
import { TlsFilesReader } from "./host_tls.ts";
import type { HostsLine } from "./hosts_line.ts";
import { OptionLineReader, type OptionReaders } from "./option_line.ts";
import { hostOptions, OptionSet } from "./option_set.ts";
import type { Pattern } from "./pattern.ts";

/** The line of a host, as far as its options must fit it. */
export interface OptionedLine {
  readonly line: HostsLine;
  /** True where the DOMAIN has a user and a password. */
  readonly hasLogin: boolean;
  readonly hasPattern: boolean;
}

/** What the options of a host are understood as. */
export interface ReadOptions {
  readonly options: HostOptions | null;
  readonly absent: Pattern | null;
}

/** The options that name files for TLS. */
const TLS_FILES = [["tls-ca", "ca"], ["tls-cert", "cert"], ["tls-key", "key"]] as const;

/** Sets of options that are kept to be shared. */
const MOST_KNOWN = 10_000;

const NO_OPTIONS = new OptionSet();

/** Reads the lines with options: first those of all hosts, then those of each. */
export class HostOptionsReader {
  readonly #lines: OptionLineReader;
  readonly #tlsFiles: TlsFilesReader;
  readonly #defaults = new OptionSet();
  /** What hosts without options of their own have. */
  #usual: ReadOptions | null = null;
  #own: OptionSet | null = null;
  /** What was understood already, by its identity: hosts with the same options share them. */
  readonly #known = new Map<string, ReadOptions>();

  constructor(readers: OptionReaders) {
    this.#lines = new OptionLineReader(readers);
    this.#tlsFiles = new TlsFilesReader(readers.references);
  }

  /** Reads a line that begins with `|`, and reports what is wrong with it. */
  read(line: HostsLine): void {
    const set = this.#usual === null ? this.#defaults : this.#own ??= new OptionSet();
    set.read(line, this.#lines);
  }

  /** Ends the options of all hosts, or of a host whose line is wrong. */
  skip(): void {
    if (this.#own !== null) judge(this.#own, this.#defaults, null);
    this.#own = null;
    if (this.#usual !== null) return;
    judge(this.#defaults, NO_OPTIONS, null);
    this.#usual = this.#understand(NO_OPTIONS, null);
  }

  /** Ends the options of a host, and gives them. */
  end(host: OptionedLine): ReadOptions {
    const own = this.#own;
    this.#own = null;
    if (own !== null) judge(own, this.#defaults, host);
    const usual = this.#usual as ReadOptions;
    if (own === null && (usual.options === null || !host.hasLogin && !host.hasPattern)) return usual;
    if (own === null) judge(NO_OPTIONS, this.#defaults, host);
    return this.#understand(own ?? NO_OPTIONS, host);
  }

  #understand(own: OptionSet, host: OptionedLine | null): ReadOptions {
    if (own.identity === null) return this.#merge(own, host);
    const identity = `${host?.hasLogin === true}${own.identity}`;
    const known = this.#known.get(identity);
    if (known !== undefined) return known;
    const understood = this.#merge(own, host);
    // What is wrong with files is reported at each host anew.
    if (understood.options?.tls === null && this.#known.size < MOST_KNOWN) this.#known.set(identity, understood);
    return understood;
  }

  #merge(own: OptionSet, host: OptionedLine | null): ReadOptions {
    const merged = hostOptions(own, this.#defaults, this.#tlsOf(own, host === null ? this.#defaults : own));
    const options = merged === null ? null : fitted(merged, own, host);
    const isHead = options?.method === "HEAD";
    return {
      options,
      absent: own.values.absent ?? (isHead ? null : this.#defaults.values.absent ?? null),
    };
  }

  /** How TLS is made. Reports what is wrong with the files at the lines of `reported`. */
  #tlsOf(own: OptionSet, reported: OptionSet): HostTls | null {
    if (!own.hasTls && !this.#defaults.hasTls) return null;
    const { tlsCa, tlsCert, tlsKey, tlsName, tlsVerify = true } = { ...this.#defaults.values, ...own.values };
    const files = { ca: tlsVerify ? tlsCa ?? null : null, cert: tlsCert ?? null, key: tlsKey ?? null };
    const isUsual = Object.values(files).every((file) => file === null) && tlsName === undefined && tlsVerify;
    if (isUsual) return null;
    const place = (file: string) => TLS_FILES.find(([name, key]) => files[key] === file && reported.lineOf(name));
    const lineOf = (message: string) => {
      const named = Object.values(files).find((file) => file !== null && message.startsWith(`${file}: `)) ?? "";
      return reported.lineOf(place(named)?.[0] ?? "");
    };
    const { material, id, problems, warnings } = this.#tlsFiles.read(files);
    for (const problem of problems) lineOf(problem)?.report(problem);
    for (const warning of warnings) lineOf(warning)?.warn(warning);
    if ((files.cert === null) !== (files.key === null)) {
      const line = reported.lineOf("tls-cert") ?? reported.lineOf("tls-key");
      line?.report("| tls-cert and | tls-key go together: write both, which may name the same file");
    }
    const { ca = null, cert = null, key = null } = material;
    return { ca, cert, key, id, name: tlsName ?? null, isVerified: tlsVerify, files };
  }
}

/** Leaves out options of all hosts that do not fit this one. */
function fitted(options: HostOptions, own: OptionSet, host: OptionedLine | null): HostOptions {
  const drop = host?.hasLogin === true && !own.has("header authorization");
  const body = own.values.body ?? (sendsBody(options.method) ? options.body : null);
  if (!drop) return body === options.body ? options : { ...options, body };
  return {
    ...options,
    headers: options.headers.filter(({ name }) => name.toLowerCase() !== "authorization"),
    body,
  };
}

const NO_PAGE = "| method HEAD asks for no page, and";

/** Reports options that do not go together. */
function judge(own: OptionSet, defaults: OptionSet, host: OptionedLine | null): void {
  const method = own.values.method ?? defaults.values.method ?? null;
  if (own.values.body !== undefined && !sendsBody(method)) {
    own.lineOf("body")?.report(`a check with ${method ?? "GET"} has no body: write | method POST, or leave | body out`);
  }
  if (method === "HEAD") {
    own.lineOf("absent")?.report(`${NO_PAGE} | absent looks at one: write | method GET, or leave one of them out`);
    const place = own.lineOf("method") ?? host?.line;
    if (host?.hasPattern) place?.report(`${NO_PAGE} REGEX looks at one: write | method GET, or leave REGEX out`);
  }
  if (own.values.tlsVerify === false) {
    own.lineOf("tls-ca")?.report(
      "| tls-verify off takes any certificate: leave | tls-ca out, or write | tls-verify on",
    );
  }
  if (host?.hasLogin) {
    own.lineOf("header authorization")?.report(
      "the DOMAIN has a user, whose password is sent in Authorization: leave one of them out",
    );
  }
}
