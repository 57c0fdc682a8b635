import { createPublicKey, hash, verify, X509Certificate } from "node:crypto";
import { contextTag, type DerElement, readElement, readElements, readObjectId, readTime, TAG } from "../net/der.ts";

/** The parts of a certificate (RFC 5280, section 4) that decide whether it is good. */
export interface PeerCertificate {
  readonly raw: Buffer;
  /** Its fingerprint: equal for equal bytes. */
  readonly id: string;
  /** Usually 1 to 3, but it may be any number. */
  readonly version: number;
  /** The algorithm of its issuer's signature. */
  readonly signature: string;
  /** Names as bytes in hexadecimal, only to compare them. */
  readonly issuer: string;
  readonly subject: string;
  /** For a person; empty where the subject has none. */
  readonly commonName: string;
  /** Milliseconds. It is valid from the first to the last. */
  readonly from: number;
  readonly to: number;
  /** Its public key in hexadecimal, only to compare it. */
  readonly key: string;
  /** Bits of an RSA key; null for other keys. */
  readonly rsaBits: number | null;
  readonly isAuthority: boolean;
  /** How many intermediates may stand below it; null: any number. */
  readonly pathLength: number | null;
  /** The bits of keyUsage, the first one 0x80; null where it has none. */
  readonly keyUsage: number | null;
  readonly extendedUsages: readonly string[] | null;
  readonly names: AlternativeNames;
  readonly constraints: Constraints | null;
  /**
   * Identifiers of keys in hexadecimal: its own, and its issuer's. Null where the certificate does
   * not name it.
   */
  readonly keyId: string | null;
  readonly issuerKeyId: string | null;
  /** A critical extension that is not known here; null where there is none. */
  readonly unknown: string | null;
}

/** The subject's alternative names that a URL's host can be compared with. */
export interface AlternativeNames {
  /** In lower case. */
  readonly dns: readonly string[];
  /** 4 or 16 bytes each, in hexadecimal. */
  readonly ip: readonly string[];
}

/**
 * The names that an authority may issue for (RFC 5280, section 4.2.1.10). A kind without permitted
 * entries is not limited.
 */
export interface Constraints {
  readonly permitted: AlternativeNames;
  readonly excluded: AlternativeNames;
}

/** The version is gone, which only some certificates have: so every field has a fixed place. */
type CertificateFields = readonly [
  serial: DerElement,
  signature: DerElement,
  issuer: DerElement,
  validity: DerElement,
  subject: DerElement,
  key: DerElement,
  ...rest: DerElement[],
];

/** A certificate: its signed part, the algorithm of the signature, and the signature. */
type Signed = readonly [signed: DerElement, algorithm: DerElement, bits: DerElement, ...more: DerElement[]];

/** Extensions that are understood here, or by the runtime, or that do not matter. */
const KNOWN = new Set(["14", "15", "17", "18", "19", "30", "31", "32", "33", "35", "36", "37", "46", "54"]);
const EXTENSION = "2.5.29.";
const RSA = "1.2.840.113549.1.1.1";
const COMMON_NAME = "2.5.4.3";
const NONE: AlternativeNames = { dns: [], ip: [] };

/** The fingerprint of a certificate. */
export function fingerprint(raw: Buffer): string {
  return hash("sha256", raw, "base64");
}

/** Reads a certificate; null where it cannot be understood. */
export function readCertificate(raw: Buffer): PeerCertificate | null {
  try {
    return read(raw);
  } catch {
    return null;
  }
}

function read(raw: Buffer): PeerCertificate {
  const [signed, algorithm] = readElements(readElement(raw).contents) as unknown as Signed;
  const all = readElements(signed.contents);
  const isFirst = all[0]?.tag !== contextTag(0, true);
  const version = isFirst ? 1 : readElement((all[0] as DerElement).contents).contents.readUInt8(0) + 1;
  const [, signature, issuer, validity, subject, key, ...rest] =
    (isFirst ? all : all.slice(1)) as unknown as CertificateFields;
  // It stands once in the signed part, and once beside it (RFC 5280, section 4.1.1.2). Go reads no
  // other certificate either, nor does Deno's TLS.
  if (!signature.whole.equals(algorithm.whole)) throw new RangeError("Two algorithms");
  const [from, to] = readElements(validity.contents).map(readTime);
  if (from === undefined || to === undefined || Number.isNaN(from + to)) throw new RangeError("No dates");
  return {
    raw,
    id: fingerprint(raw),
    version,
    signature: readObjectId(readElement(signature.contents)),
    issuer: issuer.whole.toString("hex"),
    subject: subject.whole.toString("hex"),
    commonName: commonNameOf(subject),
    ...{ from, to, key: key.whole.toString("hex"), rsaBits: rsaBitsOf(key) },
    ...readExtensions(rest.find(({ tag }) => tag === contextTag(3, true))),
  };
}

function commonNameOf(subject: DerElement): string {
  const parts = readElements(subject.contents).flatMap(({ contents }) => readElements(contents));
  const values = parts.map(({ contents }) => readElements(contents));
  const [, value] = values.find(([type]) => type !== undefined && readObjectId(type) === COMMON_NAME) ?? [];
  return value?.contents.toString("utf8") ?? "";
}

function rsaBitsOf(key: DerElement): number | null {
  const [algorithm, bits] = readElements(key.contents) as [DerElement, DerElement];
  if (readObjectId(readElement(algorithm.contents)) !== RSA) return null;
  // A bit string begins with the number of unused bits.
  const modulus = readElement(readElement(bits.contents.subarray(1)).contents).contents;
  const first = modulus.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (modulus.length - first) * 8 - Math.clz32(modulus[first] as number) + 24;
}

type Extensions = Pick<
  PeerCertificate,
  | "isAuthority"
  | "pathLength"
  | "keyUsage"
  | "extendedUsages"
  | "names"
  | "constraints"
  | "keyId"
  | "issuerKeyId"
  | "unknown"
>;

function readExtensions(list: DerElement | undefined): Extensions {
  const values = new Map<string, Buffer>();
  let unknown: string | null = null;
  for (const { contents } of list === undefined ? [] : readElements(readElement(list.contents).contents)) {
    const parts = readElements(contents);
    const id = readObjectId(parts[0] as DerElement);
    const isCritical = parts[1]?.tag === TAG.boolean && parts[1].contents[0] !== 0;
    const known = id.startsWith(EXTENSION) ? id.slice(EXTENSION.length) : "";
    // Nobody could tell which of the two counts (RFC 5280, section 4.2, forbids them).
    if (values.has(known)) throw new RangeError("An extension comes twice");
    if (KNOWN.has(known)) values.set(known, (parts.at(-1) as DerElement).contents);
    else if (isCritical) unknown = id;
  }
  const [isAuthority, pathLength] = basicConstraintsOf(values.get("19"));
  return {
    ...{ isAuthority, pathLength, unknown },
    keyUsage: keyUsageOf(values.get("15")),
    extendedUsages: usagesOf(values.get("37")),
    names: namesIn(values.get("17")),
    constraints: constraintsOf(values.get("30")),
    keyId: values.has("14") ? contentsOf(values.get("14") as Buffer, TAG.octetString).toString("hex") : null,
    issuerKeyId: issuerKeyIdOf(values.get("35")),
  };
}

function basicConstraintsOf(value: Buffer | undefined): [isAuthority: boolean, pathLength: number | null] {
  const parts = value === undefined ? [] : partsOf(value);
  const isAuthority = parts[0]?.tag === TAG.boolean && parts[0].contents[0] !== 0;
  const length = parts.find(({ tag }) => tag === TAG.integer)?.contents;
  return [isAuthority, length === undefined ? null : length.readUIntBE(0, Math.min(length.length, 6))];
}

/** Only the first eight bits count here. */
function keyUsageOf(value: Buffer | undefined): number | null {
  return value === undefined ? null : contentsOf(value, TAG.bitString)[1] ?? 0;
}

function usagesOf(value: Buffer | undefined): readonly string[] | null {
  return value === undefined ? null : partsOf(value).map(readObjectId);
}

function issuerKeyIdOf(value: Buffer | undefined): string | null {
  const parts = value === undefined ? [] : partsOf(value);
  // First the tag of a key, then those of a name and a serial number.
  const known = [contextTag(0, false), contextTag(1, true), contextTag(2, false)];
  const isHalf = parts.some(({ tag }) => tag === known[1]) !== parts.some(({ tag }) => tag === known[2]);
  if (isHalf || !parts.every(({ tag }) => known.includes(tag))) throw new RangeError("An extension is damaged");
  return parts.find(({ tag }) => tag === known[0])?.contents.toString("hex") ?? null;
}

function namesIn(value: Buffer | undefined): AlternativeNames {
  return value === undefined ? NONE : namesOf(partsOf(value));
}

/** The contents of an extension's one element. Throws a RangeError where its tag is not `tag`. */
function contentsOf(value: Buffer, tag: number): Buffer {
  const element = readElement(value);
  if (element.tag !== tag || element.whole.length < value.length) throw new RangeError("An extension is damaged");
  return element.contents;
}

function partsOf(value: Buffer): DerElement[] {
  return readElements(contentsOf(value, TAG.sequence));
}

/**
 * Kinds of GeneralName. Other names, X.400 addresses, directories and parties hold further
 * elements.
 */
const NAME_TAGS = Array.from({ length: 9 }, (_, kind) => contextTag(kind, [0, 3, 4, 5].includes(kind)));

/** The names in a list of GeneralName that a host can have. */
function namesOf(names: readonly DerElement[]): AlternativeNames {
  if (!names.every(({ tag }) => NAME_TAGS.includes(tag))) throw new RangeError("This is no name");
  const ofKind = (kind: number) => names.filter(({ tag }) => tag === contextTag(kind, false));
  return {
    dns: ofKind(2).map(({ contents }) => contents.toString("latin1").toLowerCase()),
    ip: ofKind(7).map(({ contents }) => contents.toString("hex")),
  };
}

function constraintsOf(value: Buffer | undefined): Constraints | null {
  if (value === undefined) return null;
  const parts = partsOf(value);
  const namesAt = (number: number) => {
    const list = parts.find(({ tag }) => tag === contextTag(number, true));
    // Each entry is a name with limits of its depth, which nobody uses.
    return list === undefined
      ? NONE
      : namesOf(readElements(list.contents).map(({ contents }) => readElement(contents)));
  };
  return { permitted: namesAt(0), excluded: namesAt(1) };
}

/** Digests of signatures, by their algorithm; null: the algorithm has no digest of its own. */
const DIGESTS: Readonly<Record<string, string | null>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  "1.3.101.112": null,
};

/** True where the key of `issuer` made the signature of `certificate`. */
export function isSignedBy(certificate: PeerCertificate, issuer: PeerCertificate): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(issuer.key, "hex"), format: "der", type: "spki" });
    const digest = DIGESTS[certificate.signature];
    if (digest === undefined) return new X509Certificate(certificate.raw).verify(key);
    // Read here: Deno's own reader refuses certificates that its TLS takes, such as one with the
    // serial number 0.
    const whole = readElement(certificate.raw);
    const [signed, , bits, ...more] = readElements(whole.contents) as unknown as Signed;
    const isWhole = whole.whole.length === certificate.raw.length && more.length === 0 &&
      [whole, signed].every(({ tag }) => tag === TAG.sequence) && bits.tag === TAG.bitString &&
      bits.contents[0] === 0;
    return isWhole && verify(digest, signed.whole, key, bits.contents.subarray(1));
  } catch {
    // The runtime does not know the key or the algorithm.
    return false;
  }
}
