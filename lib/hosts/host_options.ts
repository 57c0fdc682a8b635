import { isDeepStrictEqual } from "node:util";

/** The methods that a check sends, those of WebDAV among them. */
export const METHODS = [
  ...["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY"],
  ...["PROPFIND", "REPORT", "SEARCH"],
] as const;

/** Methods without a body. */
const BODILESS: readonly string[] = ["GET", "HEAD"];

/** A header field to send. */
export interface HostHeader {
  readonly name: string;
  readonly value: string;
  /** True where its value may be shown to a person: it is no secret. */
  readonly isOpen: boolean;
  /** True where the value itself stands in the hosts file. */
  readonly isLiteral: boolean;
}

/** Statuses, the first and the last one included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** How TLS is made with a host. Certificates and keys are PEM. */
export interface HostTls {
  /** Authorities to trust, instead of those that the runtime trusts. */
  readonly ca: string | null;
  /** The client's certificate and its key: both or none. */
  readonly cert: string | null;
  readonly key: string | null;
  /** A text that differs for different certificates and keys. */
  readonly id: string;
  /** The name to ask for, and to find in the certificate, instead of that of the DOMAIN. */
  readonly name: string | null;
  /** False: any certificate is taken. */
  readonly isVerified: boolean;
  /** The paths of the files, as they were written. */
  readonly files: Readonly<Record<"ca" | "cert" | "key", string | null>>;
}

/**
 * The options of a host (docs/hosts.md, "Options"): plain data, which can go to another thread. Null
 * stands for an option that is not given.
 */
export interface HostOptions {
  readonly method: string | null;
  readonly headers: readonly HostHeader[];
  readonly body: string | null;
  /** The statuses of a host that is up. */
  readonly status: readonly StatusRange[] | null;
  /** Seconds for a check. */
  readonly timeout: number | null;
  /** The most redirects that are followed. */
  readonly redirects: number | null;
  /** Bytes of the page that are read, at most. */
  readonly maxBody: number | null;
  readonly tls: HostTls | null;
  /** Texts by name, which stand in every metric of the host. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** What variables and files brought: nobody may see it. */
  readonly secrets: readonly string[];
}

/** True where a request with this method may have a body. */
export function sendsBody(method: string | null): boolean {
  return method !== null && !BODILESS.includes(method);
}

/** True where both mean the same check. */
export function areSameOptions(one: HostOptions | null, other: HostOptions | null): boolean {
  return one === other || isDeepStrictEqual(one, other);
}

/** The options as lines of a hosts file, without what may be a secret. */
export function optionLines(options: HostOptions | null): readonly string[] {
  if (options === null) return [];
  const { method, headers, body, status, timeout, redirects, maxBody, tls, labels } = options;
  const line = <T>(name: string, value: T | null, show: (value: T) => string = String) =>
    value === null ? [] : [`| ${name} ${show(value)}`];
  return [
    ...line("method", method),
    ...headers.map(({ name, value, isOpen }) => `| header ${name}: ${isOpen ? value : "…"}`),
    ...line("body", body, (text) => `… (${Buffer.byteLength(text)} bytes)`),
    ...line("status", status, (ranges) => ranges.map(({ from, to }) => from === to ? from : `${from}-${to}`).join(" ")),
    ...line("timeout", timeout, (seconds) => `${seconds}s`),
    ...line("redirects", redirects),
    ...line("max-body", maxBody),
    ...line("tls-ca", tls?.files.ca ?? null),
    ...line("tls-cert", tls?.files.cert ?? null),
    ...line("tls-key", tls?.files.key ?? null),
    ...line("tls-name", tls?.name ?? null),
    ...line("tls-verify", tls?.isVerified === false ? "off" : null),
    ...Object.entries(labels ?? {}).map(([name, value]) => `| label ${name}=${value}`),
  ];
}
