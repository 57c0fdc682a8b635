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
  if (one === other) return true;
  return one !== null && other !== null && OPTIONS.every((name) => COMPARISONS[name](one, other));
}

/** Whether two hosts have the same of an option. `isDeepStrictEqual` takes three times as long. */
const COMPARISONS: Readonly<Record<keyof HostOptions, (one: HostOptions, other: HostOptions) => boolean>> = {
  method: (one, other) => one.method === other.method,
  headers: (one, other) => areAlike(one.headers, other.headers, isSameHeader),
  body: (one, other) => one.body === other.body,
  status: (one, other) => areAlike(one.status, other.status, (a, b) => a.from === b.from && a.to === b.to),
  timeout: (one, other) => one.timeout === other.timeout,
  redirects: (one, other) => one.redirects === other.redirects,
  maxBody: (one, other) => one.maxBody === other.maxBody,
  tls: (one, other) => isSameTls(one.tls, other.tls),
  labels: (one, other) => areSameLabels(one.labels, other.labels),
  secrets: (one, other) => areAlike(one.secrets, other.secrets, (a, b) => a === b),
};
const OPTIONS = Object.keys(COMPARISONS) as readonly (keyof HostOptions)[];

function areAlike<T>(
  one: readonly T[] | null,
  other: readonly T[] | null,
  isAlike: (one: T, other: T) => boolean,
): boolean {
  if (one === null || other === null) return one === other;
  return one.length === other.length && one.every((item, at) => isAlike(item, other[at] as T));
}

function isSameHeader(one: HostHeader, other: HostHeader): boolean {
  return one.name === other.name && one.value === other.value && one.isOpen === other.isOpen &&
    one.isLiteral === other.isLiteral;
}

function isSameTls(one: HostTls | null, other: HostTls | null): boolean {
  if (one === null || other === null) return one === other;
  const [mine, others] = [one.files, other.files];
  return one.id === other.id && one.name === other.name && one.isVerified === other.isVerified &&
    mine.ca === others.ca && mine.cert === others.cert && mine.key === others.key;
}

function areSameLabels(one: HostOptions["labels"], other: HostOptions["labels"]): boolean {
  if (one === null || other === null) return one === other;
  const names = Object.keys(one);
  // A value is a text, so that undefined tells that there is none.
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

/** The options as lines of a hosts file, without what may be a secret. */
export function optionLines(options: HostOptions | null): readonly string[] {
  if (options === null) return [];
  const { method, headers, body, status, timeout, redirects, maxBody, tls, labels } = options;
  const lines: string[] = [];
  if (method !== null) lines.push(`| method ${method}`);
  for (const { name, value, isOpen } of headers) lines.push(`| header ${name}: ${isOpen ? value : "…"}`);
  if (body !== null) lines.push(`| body … (${Buffer.byteLength(body)} bytes)`);
  if (status !== null) lines.push(`| status ${status.map(rangeText).join(" ")}`);
  if (timeout !== null) lines.push(`| timeout ${timeout}s`);
  if (redirects !== null) lines.push(`| redirects ${redirects}`);
  if (maxBody !== null) lines.push(`| max-body ${maxBody}`);
  if (tls !== null) lines.push(...tlsLines(tls));
  for (const name in labels) lines.push(`| label ${name}=${labels[name]}`);
  return lines;
}

function rangeText({ from, to }: StatusRange): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function tlsLines({ files: { ca, cert, key }, name, isVerified }: HostTls): readonly string[] {
  const values = { "tls-ca": ca, "tls-cert": cert, "tls-key": key, "tls-name": name };
  const lines = Object.entries(values).flatMap(([option, value]) => value === null ? [] : [`| ${option} ${value}`]);
  return isVerified ? lines : [...lines, "| tls-verify off"];
}
