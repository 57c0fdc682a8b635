import { isIPv4, isIPv6 } from "node:net";
import { groupsOf, shortForm } from "../net/ip_address.ts";
import type { AlternativeNames, Constraints, PeerCertificate } from "./certificate.ts";
import { type Authorities, namesKeyOf, type Path, PathFinder } from "./paths.ts";

/** The judgement about a server's certificates. */
export interface Judgement {
  /** The fault, for a person; null where there is none. */
  readonly reason: string | null;
  /**
   * The earliest expiry on the path that was verified. Where none was, the earliest of all
   * certificates that were sent. Null where none was sent.
   */
  readonly expiresAt: Date | null;
}

/** The most certificates that a server may send. GnuTLS stops at 16. */
export const MOST_CERTIFICATES = 32;
export const TOO_LONG_CHAIN = "the server's certificates are longer than 64 KiB";
const MOST_BYTES = 64 * 1024;

/**
 * The runtime's own verdict about a chain: whether it trusts the chain, or else its code. It does
 * not judge names.
 */
export interface RuntimeVerdict {
  readonly isTrusted: boolean;
  readonly code: string;
  /** The part of the verdict that is told where no fault is found here. */
  readonly words: string;
}

/**
 * Judges certificates by one rule (docs/checks.md, "Certificates"). The two runtimes look for
 * different faults, and name them differently. A certificate is good where the runtime trusts it
 * and no fault is found here. One judge serves all checks: it remembers the certificates and
 * signatures that it has seen.
 */
export class CertificateJudge {
  readonly #finder: PathFinder;
  readonly #areOnly: boolean;

  /**
   * `areOnly`: no other authorities are trusted, whatever the runtime says. Deno adds its own to
   * those that a connection names.
   */
  constructor(authorities: Authorities, areOnly = false) {
    this.#finder = new PathFinder(authorities);
    this.#areOnly = areOnly;
  }

  /**
   * `raws` are the certificates that the server sent, its own first. `host` is a name in lower case
   * or an address.
   */
  judge(raws: readonly Buffer[], host: string, runtime: RuntimeVerdict, now: number = Date.now()): Judgement {
    const read = this.#finder.read(raws.slice(0, MOST_CERTIFICATES));
    const sent = read.filter((certificate) => certificate !== null);
    const [leaf] = read;
    const refuse = (reason: string) => ({ reason, expiresAt: earliest(sent) });
    if (raws.length > MOST_CERTIFICATES) return refuse(`the server sends more than ${MOST_CERTIFICATES} certificates`);
    if (raws.reduce((sum, raw) => sum + raw.length, 0) > MOST_BYTES) return refuse(TOO_LONG_CHAIN);
    // Deno gives no certificate that it cannot read.
    if (leaf === undefined || leaf === null) return refuse("certificate cannot be decoded");
    const paths = this.#finder.paths(leaf, sent.slice(1), runtime.isTrusted && !this.#areOnly).map((path) => ({
      path,
      fault: faultOf(path, now, runtime.isTrusted),
    }));
    const best = paths.toSorted((a, b) => rank(b) - rank(a) || lasts(b.path) - lasts(a.path))[0] as Ranked;
    const fault = best.fault ?? trustFault(best.path, read, runtime.isTrusted && !this.#areOnly);
    const isRefused = fault === null && !isTaken(best.path, runtime);
    const reason = fault ?? hostFault(leaf, host) ?? (isRefused ? `certificate is refused (${runtime.words})` : null);
    const isVerified = fault === null && !isRefused;
    return { reason, expiresAt: earliest(isVerified ? best.path.certificates : sent) };
  }
}

interface Ranked {
  readonly path: Path;
  readonly fault: string | null;
}

/**
 * The best of several paths is one without a fault, then one to a trusted authority. Among those,
 * the one that lasts longest counts.
 */
function rank({ path, fault }: Ranked): number {
  return (path.isTrusted ? 2 : 0) + (fault === null ? 1 : 0) + (path.isTrusted && fault === null ? 1 : 0);
}

const lasts = ({ certificates }: Path) => Math.min(...certificates.map(({ to }) => to));

function earliest(certificates: readonly PeerCertificate[]): Date | null {
  const time = Math.min(...certificates.map(({ to }) => to));
  return Number.isFinite(time) ? new Date(time) : null;
}

const UNKNOWN_ISSUER = "certificate's issuer is not known, or an intermediate certificate is missing";
const UNTRUSTED = "certificate's issuer is not trusted";
const UNREADABLE = "an intermediate certificate cannot be decoded";

/** Why a path without a fault of its own is not trusted; null where it is trusted. */
function trustFault(
  path: Path,
  read: readonly (PeerCertificate | null)[],
  isTrusted: boolean,
): string | null {
  if (path.isTrusted) return null;
  // A certificate that cannot be read here cannot be judged here, whatever the runtime says.
  if (read.includes(null)) return UNREADABLE;
  if (isTrusted) return null;
  const [leaf] = path.certificates as [PeerCertificate];
  const top = path.certificates.at(-1) as PeerCertificate;
  if (leaf.issuer === leaf.subject) return "certificate is self-signed";
  return top.issuer === top.subject || read.at(-1)?.subject === read.at(-1)?.issuer && read.length > 1
    ? UNTRUSTED
    : UNKNOWN_ISSUER;
}

/** False where the runtime refuses a path in which no fault is found here. */
function isTaken({ certificates }: Path, { isTrusted, code }: RuntimeVerdict): boolean {
  const [leaf] = certificates as [PeerCertificate];
  // A certificate that is trusted by itself needs no path. With this code Deno refuses authorities
  // as servers, before it looks for a path.
  return isTrusted || certificates.length === 1 || leaf.isAuthority && code === "DEPTH_ZERO_SELF_SIGNED_CERT";
}

/**
 * The first fault of a path, from the server's own certificate upward. Where nobody trusts the
 * path, only the server's own counts. The order is in docs/checks.md, "Certificates". It begins
 * with the faults for which Deno's TLS ends the handshake: of two faults both runtimes then tell
 * the same one.
 */
function faultOf({ certificates, isTrusted }: Path, now: number, isTaken: boolean): string | null {
  const judged = isTrusted || isTaken ? certificates : certificates.slice(0, 1);
  const faults = judged.map((certificate, index) => {
    const isRoot = isTrusted && index === certificates.length - 1;
    const what = index === 0
      ? "certificate"
      : `${isRoot ? "root" : "intermediate"} certificate ${certificate.commonName}`.trimEnd();
    const issuer = certificates[index + 1];
    const fault = keyFault(certificate) ?? dateFault(certificate, now) ?? signatureFault(certificate, isRoot) ??
      (issuer === undefined ? null : issuerFault(certificate, issuer)) ??
      (index === 0 ? leafFault(certificate) : authorityFault(certificate, certificates.slice(0, index), isRoot));
    return fault === null ? null : `${what} ${fault}`;
  });
  return faults.find((fault) => fault !== null) ?? null;
}

function dateFault({ from, to }: PeerCertificate, now: number): string | null {
  if (to < now) return "has expired";
  // Deno's TLS cannot read such a date.
  if (from < 0) return "begins before 1970";
  return from > now ? "is not yet valid" : null;
}

/**
 * Bits of an RSA key. Shorter keys are broken. Longer keys take long, and neither browsers nor Deno
 * take them.
 */
const RSA_BITS = { least: 2048, most: 8192 };

function keyFault({ rsaBits, unknown }: PeerCertificate): string | null {
  if (unknown !== null) return `has a critical extension that is not known (${unknown})`;
  if (rsaBits === null) return null;
  if (rsaBits < RSA_BITS.least) return `has an RSA key of ${rsaBits} bits, fewer than ${RSA_BITS.least}`;
  return rsaBits > RSA_BITS.most ? `has an RSA key of ${rsaBits} bits, more than ${RSA_BITS.most}` : null;
}

/** Algorithms of signatures that can be forged. */
const FORGEABLE: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.2": "MD2",
  "1.2.840.113549.1.1.4": "MD5",
  "1.2.840.113549.1.1.5": "SHA-1",
  "1.3.14.3.2.29": "SHA-1",
  "1.2.840.10045.4.1": "SHA-1",
  "1.2.840.10040.4.3": "SHA-1",
};

/** Nothing depends on a root's signature of itself. */
function signatureFault({ signature }: PeerCertificate, isRoot: boolean): string | null {
  const weak = isRoot ? undefined : FORGEABLE[signature];
  return weak === undefined ? null : `is signed with ${weak}`;
}

/** A certificate's statement about its issuer must fit the issuer that signed it. */
function issuerFault(certificate: PeerCertificate, issuer: PeerCertificate): string | null {
  if (certificate.issuer === certificate.subject && namesKeyOf(certificate, certificate)) return "is self-signed";
  return namesKeyOf(certificate, issuer) ? null : "says that its issuer has another key";
}

const SERVERS = "1.3.6.1.5.5.7.3.1";
const NOT_FOR_SERVERS = "is not for servers (its extended key usage has no serverAuth)";

function isForServers({ extendedUsages }: PeerCertificate): boolean {
  return extendedUsages === null || extendedUsages.includes(SERVERS);
}

/** Bits of keyUsage (RFC 5280, section 4.2.1.3). */
const KEY_USAGE = { digitalSignature: 0x80, keyEncipherment: 0x20, keyAgreement: 0x08, keyCertSign: 0x04 };
const TLS_USAGE = KEY_USAGE.digitalSignature | KEY_USAGE.keyEncipherment | KEY_USAGE.keyAgreement;

const versionFault = ({ version }: PeerCertificate) => `is of X.509 version ${version}, not 3`;

function leafFault(leaf: PeerCertificate): string | null {
  if (leaf.version !== 3) return versionFault(leaf);
  if (!isForServers(leaf)) return NOT_FOR_SERVERS;
  return leaf.keyUsage !== null && (leaf.keyUsage & TLS_USAGE) === 0 ? "is not for TLS (by its key usage)" : null;
}

/**
 * Why an authority may not stand above the certificates below it, which begin with the server's.
 */
function authorityFault(authority: PeerCertificate, below: readonly PeerCertificate[], isRoot: boolean): string | null {
  if (!isRoot && authority.version !== 3) return versionFault(authority);
  // Old roots are of version 1, which has no extensions.
  if (!authority.isAuthority && !(isRoot && authority.version === 1)) return "is not an authority's";
  if (authority.keyUsage !== null && (authority.keyUsage & KEY_USAGE.keyCertSign) === 0) {
    return "is not for signing certificates (by its key usage)";
  }
  if (!isForServers(authority)) return NOT_FOR_SERVERS;
  const intermediates = below.slice(1).filter(({ issuer, subject }) => issuer !== subject).length;
  if (authority.pathLength !== null && intermediates > authority.pathLength) {
    return "allows fewer intermediates below it";
  }
  const { names } = below[0] as PeerCertificate;
  const forbidden = authority.constraints === null ? undefined : forbiddenName(names, authority.constraints);
  return forbidden === undefined ? null : `may not sign for ${forbidden} (by its name constraints)`;
}

/** The first name that an authority's constraints do not allow. */
function forbiddenName({ dns, ip }: AlternativeNames, { permitted, excluded }: Constraints): string | undefined {
  const isForbidden = <T>(name: T, allow: readonly T[], deny: readonly T[], fits: (name: T, range: T) => boolean) =>
    deny.some((range) => fits(name, range)) || allow.length > 0 && !allow.some((range) => fits(name, range));
  return dns.find((name) => isForbidden(name, permitted.dns, excluded.dns, isWithin)) ??
    ip.filter((address) => isForbidden(address, permitted.ip, excluded.ip, isInNetwork)).map(addressText)[0];
}

/**
 * RFC 5280, section 4.2.1.10: a domain stands for itself and all that is below it. A leading dot
 * leaves the domain itself out.
 */
function isWithin(name: string, domain: string): boolean {
  if (domain === "" || name === domain) return true;
  return name.endsWith(domain.startsWith(".") ? domain : `.${domain}`);
}

/** A network is an address and its mask, one after the other. */
function isInNetwork(address: string, network: string): boolean {
  const [bytes, range] = [Buffer.from(address, "hex"), Buffer.from(network, "hex")];
  if (range.length !== 2 * bytes.length) return false;
  return bytes.every((byte, index) => {
    const mask = range[bytes.length + index] as number;
    return (byte & mask) === ((range[index] as number) & mask);
  });
}

/** Why a certificate is not for `host`. A common name does not count (RFC 9525, section 2). */
function hostFault({ names: { dns: all, ip } }: PeerCertificate, host: string): string | null {
  const dns = all.filter((name) => name !== "");
  if (dns.length + ip.length === 0) {
    return `certificate has no DNS name and no IP address (a common name does not count)`;
  }
  const isFor = isIPv4(host) || isIPv6(host)
    ? ip.includes(addressBytes(host))
    : dns.some((name) => isNamed(name, host));
  return isFor ? null : `certificate is not for ${host} (it is for ${[...dns, ...ip.map(addressText)].join(", ")})`;
}

/**
 * A `*` stands for the whole first label (RFC 9525, section 6.3). At least two labels are behind
 * it: curl too refuses `*.com`.
 */
function isNamed(name: string, host: string): boolean {
  if (!name.startsWith("*.")) return name === host.toLowerCase();
  const rest = name.slice(1);
  const dot = host.indexOf(".");
  return dot > 0 && rest.indexOf(".", 1) > 0 && !rest.includes("*") && host.slice(dot).toLowerCase() === rest;
}

/** The bytes of an address in hexadecimal, as a certificate holds them. */
function addressBytes(address: string): string {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number)).toString("hex");
  return groupsOf(address).map((group) => group.toString(16).padStart(4, "0")).join("");
}

function addressText(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  if (bytes.length === 4) return bytes.join(".");
  const groups = hex.match(/.{4}/g) ?? [];
  return bytes.length === 16 ? shortForm(groups.join(":")) : `0x${hex}`;
}
