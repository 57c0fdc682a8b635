import { nameFault } from "../hosts/host_name.ts";
import { Failure } from "./failure.ts";

/** The most redirects that are followed; the next one is a failure. */
export const MAX_REDIRECTS = 10;

const STATUSES = new Set([301, 302, 303, 307, 308]);

const NO_URL = new Failure("redirect", "the redirect's address is no URL");
const NO_NAME = new Failure("redirect", "the redirect's address has a name that no host can have");

/**
 * Where an answer sends the client: null where it is no redirect, a Failure where it cannot be
 * followed. The Failure does not quote the address, which may hold a token. User and password are
 * cut out: the server's choice is not sent as ours.
 */
export function redirectOf(status: number, location: string | null, from: URL): URL | Failure | null {
  if (!STATUSES.has(status) || location === null || location === "") return null;
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
