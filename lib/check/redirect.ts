import { Failure } from "./failure.ts";

/** Redirects that are followed; the next one is a failure. */
export const MAX_REDIRECTS = 10;

const STATUSES = new Set([301, 302, 303, 307, 308]);

/**
 * Where an answer sends the client on: null where it does not, a Failure where it cannot be followed (which does not quote the
 * address: it may hold a token). User and password are cut out: what a server chose is not sent as ours.
 */
export function redirectOf(status: number, location: string | undefined, from: URL): URL | Failure | null {
  if (!STATUSES.has(status) || location === undefined) return null;
  // Node reads headers as Latin-1; addresses with other letters in them come as UTF-8.
  const target = URL.parse(Buffer.from(location, "latin1").toString(), from);
  if (target === null) return new Failure("redirect", "the redirect's address is no URL");
  if (target.protocol !== "http:" && target.protocol !== "https:") {
    return new Failure("redirect", `the redirect leads to a ${target.protocol} address, not to http: or https:`);
  }
  target.username = "";
  target.password = "";
  return target;
}
