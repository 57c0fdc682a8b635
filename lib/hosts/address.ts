import { invisibleIn, nameFault } from "./host_name.ts";

/**
 * PostgreSQL's index refuses a row of more than 2,700 bytes. A longer address would never have a
 * row.
 */
const LONGEST_ADDRESS = 2000;

/** The parts of a DOMAIN: the address as metrics name it, and the login that stood in it. */
export interface Target {
  readonly address: string;
  /** Value of the Authorization header; null where the DOMAIN names no user. */
  readonly authorization: string | null;
}

/**
 * Addresses that are certainly right, as nearly all are. One look finds them instead of a dozen:
 * with 100,000 hosts the first check comes 0.1 s sooner. The dozen judges the others: schemes that
 * look wrong, odd numbers, and punycode (which Deno checks).
 */
const PLAIN = (() => {
  const byte = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
  const name = String.raw`(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*|(?:${byte}\.){3}${byte}`;
  const unlike = String.raw`https?(?::|//)|.*xn--`;
  return new RegExp(`^(?:https?://)?(?!${unlike})(?:${name})(?::[1-5]?\\d{1,4})?(?:[/?#][!-~]*)?$`, "i");
})();

/** Reads a DOMAIN. Throws a SyntaxError whose message says what to write instead. */
export function readDomain(written: string): Target {
  if (written.length <= LONGEST_ADDRESS && PLAIN.test(written)) return { address: written, authorization: null };
  const hasScheme = /^https?:/i.test(written);
  if (hasScheme && !/^https?:\/\//i.test(written)) {
    const [, scheme = "", slashes = "", rest = ""] = /^(https?:)([/\\]*)(.*)$/is.exec(written) ?? [];
    const shown = hide(rest);
    throw new SyntaxError(
      `${scheme}${slashes}${shown} lacks // after "${scheme}": write ${scheme}//${shown || "example.com"}`,
    );
  }
  const colonless = /^(https?)\/\/(.*)$/is.exec(written);
  if (colonless !== null) {
    throw new SyntaxError(`${hide(written)} lacks a colon: write ${colonless[1]}://${hide(colonless[2] ?? "")}`);
  }
  const twice = /^https?:\/\/(https?:\/*.*)$/is.exec(written)?.[1];
  if (twice !== undefined) throw new SyntaxError(`${hide(written)} has its scheme twice: write ${hide(twice)}`);
  const other = /^([^/?#]*):\/\//.exec(written)?.[1];
  if (!hasScheme && other !== undefined) {
    throw new SyntaxError(`${hide(other)}:// cannot be checked: write https:// or http://`);
  }
  const mail = hasScheme ? undefined : /^(mailto|sips?|xmpp|acct|news|cid|mid):/i.exec(written)?.[1];
  if (mail !== undefined) throw new SyntaxError(`${mail}: cannot be checked: write https:// or http://`);
  const { address, credentials } = splitCredentials(written);
  const problem = problemOf(address, hasScheme);
  if (problem !== null) throw new SyntaxError(problem);
  return { address, authorization: credentials ? basic(credentials) : null };
}

/** Why an address cannot be checked or stored; null where it can. */
function problemOf(address: string, hasScheme: boolean): string | null {
  const begin = hasScheme ? address.indexOf("//") + 2 : 0;
  if (/^(?:[/\\?#:]|$)/.test(address.slice(begin))) {
    return `${
      hide(address) || "the line"
    } names no host: write a DOMAIN such as example.com or https://example.com/health`;
  }
  // The two runtimes judge long names differently.
  if (Buffer.byteLength(address) > LONGEST_ADDRESS) {
    return `an address of more than ${LONGEST_ADDRESS} bytes cannot be stored: write a shorter one`;
  }
  const end = address.slice(begin).search(/[/\\?#]/);
  const pathBegin = end < 0 ? address.length : begin + end;
  const invisible = invisibleIn(address.slice(0, pathBegin), address.slice(pathBegin));
  if (invisible !== null) {
    return `${hide(address)} holds ${invisible}, which nobody sees: leave it out, or write a plain space or %XX`;
  }
  const url = URL.parse(pageOf(address));
  const fault = url === null ? null : nameFault(url.hostname);
  if (fault === "punycode") return notPunycode(address);
  if (url !== null && fault === "signs") {
    return `${hide(url.hostname)} is no name that a host can have: write one such as www.example.com`;
  }
  if (url === null && /(?:^|[/.])xn--/i.test(address.slice(0, pathBegin))) return notPunycode(address);
  if (url === null) {
    return `${hide(address)} is no address: write a DOMAIN such as example.com or https://example.com/health`;
  }
  if (!address.isWellFormed()) return `the address holds half a character: write it as %XX`;
  return null;
}

function notPunycode(address: string): string {
  return `${hide(address)} has a name whose xn-- is no punycode: write the name itself, such as grün.example`;
}

/** An address as a URL: with a scheme, and without its fragment. */
export function pageOf(address: string): string {
  const fragment = address.indexOf("#");
  const page = fragment < 0 ? address : address.slice(0, fragment);
  return hasScheme(page) ? page : `https://${page}`;
}

/** False where `https://` is put in front of an address. */
export function hasScheme(address: string): boolean {
  return /^https?:\/\//i.test(address);
}

/** Cuts `user:password@` out of a DOMAIN. */
function splitCredentials(written: string): { address: string; credentials: string | null } {
  const begin = /^https?:\/\//i.exec(written)?.[0].length ?? 0;
  const length = written.slice(begin).search(/[/\\?#]/);
  const authority = length < 0 ? written.slice(begin) : written.slice(begin, begin + length);
  const at = authority.lastIndexOf("@");
  if (at < 0) return { address: written, credentials: null };
  return { address: written.slice(0, begin) + written.slice(begin + at + 1), credentials: authority.slice(0, at) };
}

/** RFC 7617. Percent-encoding lets a password hold any character. */
function basic(credentials: string): string {
  const colon = credentials.indexOf(":");
  const user = colon < 0 ? credentials : credentials.slice(0, colon);
  const password = colon < 0 ? "" : credentials.slice(colon + 1);
  return `Basic ${Buffer.from(`${decode(user)}:${decode(password)}`).toString("base64")}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A password with a bare % in it.
  }
}

/** Leaves out what may be a password: messages end up in logs. */
export function hide(written: string): string {
  const at = written.lastIndexOf("@");
  if (at >= 0) return `…${written.slice(at)}`;
  const colon = secretColon(written);
  return colon === -1 ? written : `${written.slice(0, colon)}:…`;
}

/**
 * Where a password may begin; -1 where none does. A user:password without its @ looks like a host
 * with a port, except for the letters.
 */
function secretColon(written: string): number {
  let portEnd = 0;
  for (let colon = written.indexOf(":"); colon !== -1; colon = written.indexOf(":", colon + 1)) {
    // Found once for all colons of a row. A search from each of them would take minutes for a line
    // of colons.
    if (portEnd <= colon) portEnd = colon + 1;
    while (portEnd < written.length && /[\d:]/.test(written[portEnd] as string)) portEnd++;
    const isPort = portEnd === written.length || /[\]/?#]/.test(written[portEnd] as string);
    if (!isPort && !written.startsWith("//", colon + 1)) return colon;
  }
  return -1;
}

/**
 * Names that services give to a secret in a query. A key may be something else, unless it is long.
 */
const SECRET =
  /[?&;](?:((?:access|auth|id)?[_-]?token|api[_-]?key|(?:client[_-]?)?secret|passw(?:or)?d|pass|pwd|sig|signature)=[^&;#]|(key)=[^&;#]{20})/i;

/** A warning where an address holds a secret; null where it holds none. */
export function openSecret(address: string): string | null {
  const secret = SECRET.exec(address);
  if (secret === null) return null;
  return `${
    secret[1] ?? secret[2] ?? ""
  }= looks like a secret, but an address is shown to everybody, in topic, table and log: ` +
    `write user:password@ in front of the host, if the site takes that, or ask for a page that needs no secret`;
}
