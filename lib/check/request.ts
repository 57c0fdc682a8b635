import type { HostHeader, HostOptions } from "../hosts/host_options.ts";
import type { Host } from "../hosts/hosts.ts";

/** What a check asks for, at the host itself and, behind redirects, elsewhere. */
export interface Request {
  readonly method: string;
  readonly headers: readonly HostHeader[];
  readonly body: string | null;
}

/** What is sent to one place beside the path. */
export interface Hop extends Request {
  readonly userAgent: string;
  readonly authorization: string | null;
}

const NO_HEADERS: readonly HostHeader[] = [];
const GET: Request = { method: "GET", headers: NO_HEADERS, body: null };

/** The request of a host with these options. */
export function requestOf(options: HostOptions | null): Request {
  if (options === null) return GET;
  return { method: options.method ?? "GET", headers: options.headers, body: options.body };
}

/** What is sent to `url`. Another origin must not learn the secrets of this one. */
export function hopTo(url: URL, request: Request, host: Pick<Host, "url" | "authorization">, userAgent: string): Hop {
  const isOwn = url.origin === host.url.origin;
  const { method, body } = request;
  return {
    ...{ method, body, userAgent },
    headers: isOwn ? request.headers : NO_HEADERS,
    authorization: isOwn ? host.authorization : null,
  };
}

/** Methods whose requests say that they have no body (RFC 9110, section 8.6). */
const EXPECTED_BODY = ["POST", "PUT", "PATCH"];

/**
 * A request (RFC 9112, section 3), each byte as one sign: nothing in a URL, nor in what this program
 * or the hosts file adds, can hold a line end.
 */
export function bytesOfRequest(url: URL, { method, userAgent, authorization, headers, body }: Hop): string {
  const content = body === null ? "" : bytesOf(body);
  const usual = [
    `User-Agent: ${userAgent}`,
    "Accept: */*",
    "Accept-Encoding: gzip, deflate, br, zstd",
    ...(authorization === null ? [] : [`Authorization: ${authorization}`]),
  ];
  return [
    `${method} ${url.pathname}${url.search} HTTP/1.1`,
    `Host: ${url.host}`,
    ...(headers.length === 0 ? usual : withHeaders(usual, headers)),
    "Connection: close",
    ...(body === null && !EXPECTED_BODY.includes(method) ? [] : [`Content-Length: ${content.length}`]),
    `\r\n${content}`,
  ].join("\r\n");
}

/** The usual fields, and those of the host, each in the place of a usual one of its name. */
function withHeaders(usual: readonly string[], headers: readonly HostHeader[]): readonly string[] {
  const own = new Set(headers.map(({ name }) => name.toLowerCase()));
  const others = usual.filter((field) => !own.has(field.slice(0, field.indexOf(":")).toLowerCase()));
  return [...others, ...headers.map(({ name, value }) => `${name}: ${bytesOf(value)}`)];
}

/** The bytes of a text in UTF-8, each as one sign. */
function bytesOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
