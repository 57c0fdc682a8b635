import { nameFault } from "../hosts/host_name.ts";
import type { Head } from "./answer_parser.ts";
import { Failure } from "./failure.ts";
import type { Request } from "./request.ts";

/** The statuses of a redirect (RFC 9110, section 15.4). */
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

const NO_URL = new Failure("redirect", "the redirect's address is no URL");
const NO_NAME = new Failure("redirect", "the redirect's address has a name that no host can have");

/**
 * Where an answer of `from` sends the client: null where it is no redirect, a Failure where it
 * cannot be followed. The Failure does not quote the address, which may hold a token. User and
 * password are cut out: the server's choice is not sent as ours.
 */
export function redirectOf({ status, fields }: Pick<Head, "status" | "fields">, from: URL): URL | Failure | null {
  const location = REDIRECTS.has(status) ? fields.first("location") : null;
  if (location === null || location === "") return null;
  const target = URL.parse(encoded(location), from);
  if (target === null) return NO_URL;
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    return new Failure("redirect", `the redirect leads to a ${target.protocol} address, not to http: or https:`);
  }
  // Deno refuses bad punycode in a URL and Node does not, so both count it as no URL.
  const fault = nameFault(target.hostname);
  if (fault !== null) return fault === "punycode" ? NO_URL : NO_NAME;
  target.username = "";
  target.password = "";
  return target;
}

/**
 * Keeps every byte that is not ASCII: browsers send `%FC` for such a byte that is no UTF-8.
 * `location` is Latin-1.
 */
function encoded(location: string): string {
  return location.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Headers that tell of a body (Fetch Standard, "request-body-header name"). */
const OF_BODY = ["content-encoding", "content-language", "content-location", "content-type"];

/**
 * The request that follows a redirect, as browsers have it (Fetch Standard, "HTTP-redirect fetch"):
 * 303 becomes GET, and so does POST at 301 and 302. Any other method stays, and its body with it;
 * a Failure where the redirect leads from the host's own origin to another one, which must not get
 * the body.
 */
export function nextRequest(request: Request, status: number, isOwnOrigin: boolean): Request | Failure {
  const { method, body, headers } = request;
  const becomesGet = status === 303 ? method !== "GET" && method !== "HEAD" : status < 303 && method === "POST";
  if (becomesGet) {
    return { method: "GET", body: null, headers: headers.filter(({ name }) => !OF_BODY.includes(name.toLowerCase())) };
  }
  if (body === null || isOwnOrigin) return request;
  return new Failure("redirect", `the redirect (${status}) leads to another origin, which must not get | body`);
}
