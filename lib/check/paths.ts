import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { fingerprint, isSignedBy, type PeerCertificate, readCertificate } from "./certificate.ts";

/** A path from a server's certificate upward. Each certificate is signed by the next. */
export interface Path {
  readonly certificates: readonly PeerCertificate[];
  /** True where the last one is trusted here. */
  readonly isTrusted: boolean;
}

/** The most certificates of a path. Public paths have three or four. */
const LONGEST = 10;
/**
 * The most signatures that one check verifies: under Deno each takes 2 ms. A result is remembered.
 */
const SIGNATURES = 8;
/**
 * The most paths that one check looks at, however many a chain of cross-signed certificates has.
 */
const PATHS = 32;
/** How many signatures and certificates are remembered: some ten megabytes at most. */
const MEMORY = { signatures: 10_000, certificates: 2_000 };
/** Longer certificates, in bytes, are read anew each time: a site must not fill the memory. */
const MEMORABLE = 4096;

/** Finds the paths from a chain to the authorities of this machine. */
export class PathFinder {
  readonly #authorities: Authorities;
  readonly #signatures = new Memory<boolean>(MEMORY.signatures);
  readonly #certificates = new Memory<PeerCertificate | null>(MEMORY.certificates);

  constructor(authorities: Authorities) {
    this.#authorities = authorities;
  }

  /** Reads the certificates that a server sent; null stands for one that cannot be understood. */
  read(raws: readonly Buffer[]): (PeerCertificate | null)[] {
    return raws.map((raw) =>
      raw.length > MEMORABLE
        ? readCertificate(raw)
        : this.#certificates.get(fingerprint(raw), () => readCertificate(raw))
    );
  }

  /**
   * All paths from `leaf` upward through the certificates in `sent`. There is at least one, which
   * may be untrusted. The runtime may have verified a path (`isVerified`). A signature is then
   * verified only where more than one key may have made it.
   */
  paths(leaf: PeerCertificate, sent: readonly PeerCertificate[], isVerified: boolean): Path[] {
    const budget = { signatures: SIGNATURES, isVerified };
    const found: Path[] = [];
    const climb = (certificates: readonly PeerCertificate[]) => {
      if (found.length >= PATHS) return;
      const last = certificates.at(-1) as PeerCertificate;
      if (this.#isRoot(last)) return void found.push({ certificates, isTrusted: true });
      // A root ends the path, so it closes no circle.
      const above = this.#issuersOf(last, sent, budget).filter((issuer) =>
        this.#isRoot(issuer) || !has(certificates, issuer)
      );
      if (above.length === 0 || certificates.length >= LONGEST) found.push({ certificates, isTrusted: false });
      else for (const issuer of above) climb([...certificates, issuer]);
    };
    climb([leaf]);
    return found;
  }

  #isRoot({ subject, id }: PeerCertificate): boolean {
    return this.#authorities.named(subject).some((root) => root.id === id);
  }

  /** The certificates that have signed it, trusted ones first. */
  #issuersOf(certificate: PeerCertificate, sent: readonly PeerCertificate[], budget: Budget): PeerCertificate[] {
    const roots = this.#authorities.named(certificate.issuer);
    const others = sent.filter(({ subject, id }) =>
      subject === certificate.issuer && !roots.some((root) => root.id === id)
    );
    // An issuer with another key makes a faulty path; it counts where there is no better one.
    const all = [...roots, ...others];
    const fitting = all.filter((issuer) => namesKeyOf(certificate, issuer));
    const named = fitting.length > 0 ? fitting : all;
    const isSure = budget.isVerified && named.every(({ key }) => key === named[0]?.key);
    return isSure ? named : named.filter((issuer) => this.#isSigned(certificate, issuer, budget));
  }

  #isSigned(certificate: PeerCertificate, issuer: PeerCertificate, budget: Budget): boolean {
    const verify = () => budget.signatures-- > 0 ? isSignedBy(certificate, issuer) : undefined;
    return this.#signatures.get(`${certificate.id}${issuer.id}`, verify) ?? false;
  }
}

interface Budget {
  /** How many signatures may still be verified. */
  signatures: number;
  readonly isVerified: boolean;
}

/** False where a certificate names another key of its issuer than that issuer has. */
export function namesKeyOf({ issuerKeyId }: PeerCertificate, { keyId }: PeerCertificate): boolean {
  return keyId === null || issuerKeyId === null || keyId === issuerKeyId;
}

/**
 * A certificate comes once in a path, and so does a name with its key. Two that signed each other
 * would be a circle.
 */
function has(certificates: readonly PeerCertificate[], { subject, keyId, id }: PeerCertificate): boolean {
  return certificates.some((one) =>
    one.id === id || one.subject === subject && one.keyId !== null && one.keyId === keyId
  );
}

/** Values by key. Beyond `size` values, the one that was not asked for longest is forgotten. */
class Memory<T> {
  readonly #size: number;
  readonly #values = new Map<string, T>();

  constructor(size: number) {
    this.#size = size;
  }

  /** The value of `key`, made where it is not known. An undefined value is not kept. */
  get<U extends T | undefined>(key: string, make: () => U): T | U {
    const known = this.#values.get(key);
    this.#values.delete(key);
    const value = known === undefined ? make() : known;
    if (value !== undefined) this.#values.set(key, value);
    if (this.#values.size > this.#size) this.#values.delete(this.#values.keys().next().value as string);
    return value;
  }
}

/** The authorities whose signature under a certificate this machine trusts. */
export interface Authorities {
  /** The authorities of a name, as `PeerCertificate.issuer` writes it. */
  named(subject: string): readonly PeerCertificate[];
}

/**
 * The authorities that the runtime trusts too. They are read at once, so that no check pays for it.
 * Deno does not list those of DENO_CERT, so they are read from `denoFile`. Null: there is no such
 * file, or the runtime is another.
 */
export function runtimeAuthorities(denoFile: string | null): Authorities {
  return authoritiesOf(readAll([...getCACertificates("default"), textOfFile(denoFile)]));
}

/** The authorities in a PEM text. */
export function authoritiesIn(pem: string): Authorities {
  return authoritiesOf(readAll([pem]));
}

function authoritiesOf(all: readonly PeerCertificate[]): Authorities {
  const bySubject = Map.groupBy(all, ({ subject }) => subject);
  return { named: (subject) => bySubject.get(subject) ?? [] };
}

function textOfFile(file: string | null): string {
  if (file === null) return "";
  try {
    return readFileSync(file, "latin1");
  } catch {
    // Only the runtime knows them then, and it says whether it trusts.
    return "";
  }
}

const PEM = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----([^-]*)-----END/g;

/** All certificates in PEM texts, each once. */
function readAll(texts: readonly string[]): PeerCertificate[] {
  const bodies = new Set(
    texts.flatMap((text) => [...text.matchAll(PEM)].map(([, body = ""]) => body.replaceAll(/\s/g, ""))),
  );
  return [...bodies].map((body) => readCertificate(Buffer.from(body, "base64"))).filter((read) => read !== null);
}
