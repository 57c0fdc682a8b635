import { type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { contextTag, elementsWithin, objectId, TAG } from "./der.ts";
import { type Block, firstOf, toPem } from "./pem.ts";
import { type KeyFlaw, keyFlaw, publicKeyIn } from "./public_key.ts";

/** A certificate of a file. */
export interface Certificate {
  readonly pem: string;
  /** Its owner, for a person. */
  readonly subject: string;
  readonly issuer: string;
  /** NaN where the date cannot be read. */
  readonly from: Date;
  readonly to: Date;
  /** False where the file marks it as not to be trusted for servers. */
  readonly isTrusted: boolean;
  /** The reason why nobody can use its key; null where there is none. */
  readonly keyFlaw: KeyFlaw | null;
  /** True where the key belongs to it. */
  fits(key: KeyObject): boolean;
}

/**
 * The certificates that could be decoded, each once, in the order of the file. `damaged` counts the
 * others.
 */
export interface ReadCertificates {
  readonly certificates: readonly Certificate[];
  readonly damaged: number;
}

/** RFC 7468, section 5, with the other labels that OpenSSL writes. */
export function isCertificate({ label }: Block): boolean {
  return /^(?:X509 |TRUSTED )?CERTIFICATE$/.test(label);
}

export function readCertificates(blocks: readonly Block[]): ReadCertificates {
  const found = new Map<string, Certificate>();
  let damaged = 0;
  for (const block of blocks.filter(isCertificate)) {
    const certificate = certificateIn(block);
    if (certificate === null) damaged++;
    else found.set(certificate.pem, found.get(certificate.pem) ?? certificate);
  }
  return { certificates: [...found.values()], damaged };
}

/** Null: it cannot be decoded. */
function certificateIn({ label, bytes }: Block): Certificate | null {
  const parts = bytes === null ? null : firstOf(bytes);
  if (parts === null || (parts.rest.length > 0 && label !== "TRUSTED CERTIFICATE")) return null;
  const pem = toPem("CERTIFICATE", parts.first);
  const publicKey = publicKeyIn(parts.first);
  if (publicKey === null) return null;
  try {
    const decoded = new X509Certificate(pem);
    return {
      pem,
      // On Deno an empty name is undefined or empty.
      subject: (decoded.subject ?? "").replaceAll("\n", ", ") || "nobody",
      issuer: (decoded.issuer ?? "").replaceAll("\n", ", ") || "nobody",
      // Not `validToDate`, which Deno lacks.
      from: new Date(decoded.validFrom),
      to: new Date(decoded.validTo),
      isTrusted: isForServers(parts.rest),
      keyFlaw: keyFlaw(publicKey),
      fits: (key) => isOwn(decoded, key),
    };
  } catch {
    return null;
  }
}

/**
 * Tried by a signature: `checkPrivateKey` looks only at the public half in the key's file, whatever
 * the secret half is.
 */
function isOwn(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    const algorithm = digestFor(key);
    return certificate.checkPrivateKey(key) &&
      verify(algorithm, PROBE, certificate.publicKey, sign(algorithm, PROBE, key));
  } catch {
    // The key is damaged, or of a kind that the runtime does not know.
    return false;
  }
}

const PROBE = new TextEncoder().encode("Is this the key of the certificate?");

/**
 * Deno signs with an elliptic curve only with the digest that belongs to it (RFC 8446, section
 * 4.2.3). Edwards curves have their own digest.
 */
function digestFor({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | null {
  if (asymmetricKeyType?.startsWith("ed")) return null;
  return { secp384r1: "sha384", secp521r1: "sha512" }[asymmetricKeyDetails?.namedCurve ?? ""] ?? "sha256";
}

const FOR_SERVERS: ReadonlySet<string> = new Set(["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"]);

/**
 * OpenSSL writes trust behind a certificate (X509_CERT_AUX): the uses it is trusted for and, in
 * [0], those it is not.
 */
function isForServers(behind: Uint8Array): boolean {
  const [outer] = elementsWithin(behind);
  const parts = elementsWithin(outer?.contents);
  const uses = (tag: number) => {
    const part = parts.find((part) => part.tag === tag);
    return part === undefined ? null : elementsWithin(part.contents).map(objectId);
  };
  const [trusted, rejected] = [uses(TAG.sequence), uses(contextTag(0, true))];
  return (trusted === null || trusted.some((use) => FOR_SERVERS.has(use))) &&
    !rejected?.some((use) => FOR_SERVERS.has(use));
}

/**
 * A client's certificate and the path from it to its authority, in the order of TLS (RFC 8446,
 * section 4.4.2). Certificates beside the path come last. `leaf` is one of `certificates`.
 */
export function inOrder(
  leaf: Certificate,
  certificates: readonly Certificate[],
): { path: Certificate[]; others: Certificate[] } {
  const path = [leaf];
  const others = certificates.filter((certificate) => certificate !== leaf);
  for (let last = leaf; last.issuer !== last.subject;) {
    const at = others.findIndex(({ subject }) => subject === last.issuer);
    const next = others[at];
    if (next === undefined) break;
    others.splice(at, 1);
    path.push(next);
    last = next;
  }
  return { path, others };
}

/** A time for a person, to the minute. */
export function day(date: Date): string {
  return date.toISOString().replace(/:\d\d\.\d+Z$/, " UTC").replace("T", " ");
}
