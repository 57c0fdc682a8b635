import type { Authorities } from "./authorities.ts";
import { fingerprint, isSignedBy, type PeerCertificate, readCertificate } from "./certificate.ts";

/** A way from a server's certificate upward, each certificate signed by the next. */
export interface Path {
  readonly certificates: readonly PeerCertificate[];
  /** True where the last one is trusted here. */
  readonly isTrusted: boolean;
}

/** How many certificates a path has at most. Public ones have three or four. */
const LONGEST = 10;
/** How many signatures one check may verify: under Deno one takes 2 ms. What was verified once is remembered. */
const SIGNATURES = 8;
/** How many paths one check looks at, whatever a chain of cross-signed certificates may give. */
const PATHS = 32;
/** How many signatures, and how many certificates, are remembered: some ten megabytes at most. */
const MEMORY = { signatures: 10_000, certificates: 2_000 };
/** Longer certificates, in bytes, are read anew each time: whoever makes them must not fill the memory. */
const MEMORABLE = 4096;

/** Finds the paths that a chain has to the authorities of this machine. */
export class PathFinder {
  readonly #authorities: Authorities;
  readonly #signatures = new Memory<boolean>(MEMORY.signatures);
  readonly #certificates = new Memory<PeerCertificate | null>(MEMORY.certificates);

  constructor(authorities: Authorities) {
    this.#authorities = authorities;
  }

  /** Reads what a server sent; null stands for one that cannot be understood. */
  read(raws: readonly Buffer[]): (PeerCertificate | null)[] {
    return raws.map((raw) =>
      raw.length > MEMORABLE
        ? readCertificate(raw)
        : this.#certificates.get(fingerprint(raw), () => readCertificate(raw))
    );
  }

  /**
   * All paths from `leaf` upward through certificates that were sent beside it; at least one, which
   * may be untrusted. Where the runtime has verified a path (`isVerified`), signatures are verified
   * only where more than one key may have made them.
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

  /** Who has signed it; those that are trusted first. */
  #issuersOf(certificate: PeerCertificate, sent: readonly PeerCertificate[], budget: Budget): PeerCertificate[] {
    const roots = this.#authorities.named(certificate.issuer);
    const others = sent.filter(({ subject, id }) =>
      subject === certificate.issuer && !roots.some((root) => root.id === id)
    );
    // One that names another key is a fault of the path, where there is no better one.
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
  /** How many may still be verified. */
  signatures: number;
  readonly isVerified: boolean;
}

/** False where a certificate says that its issuer has another key than that one has. */
export function namesKeyOf({ issuerKeyId }: PeerCertificate, { keyId }: PeerCertificate): boolean {
  return keyId === null || issuerKeyId === null || keyId === issuerKeyId;
}

/**
 * A certificate comes once in a path, and so does a name with its key: two that signed each other
 * would be a circle.
 */
function has(certificates: readonly PeerCertificate[], { subject, keyId, id }: PeerCertificate): boolean {
  return certificates.some((one) =>
    one.id === id || one.subject === subject && one.keyId !== null && one.keyId === keyId
  );
}

/** Values by key; of more than `size` those are forgotten that were not asked for longest. */
class Memory<T> {
  readonly #size: number;
  readonly #values = new Map<string, T>();

  constructor(size: number) {
    this.#size = size;
  }

  /** The value of `key`, made where it is not known; one that is undefined is not kept. */
  get<U extends T | undefined>(key: string, make: () => U): T | U {
    const known = this.#values.get(key);
    this.#values.delete(key);
    const value = known === undefined ? make() : known;
    if (value !== undefined) this.#values.set(key, value);
    if (this.#values.size > this.#size) this.#values.delete(this.#values.keys().next().value as string);
    return value;
  }
}
