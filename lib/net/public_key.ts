import { createPublicKey } from "node:crypto";
import { createSecureContext } from "node:tls";
import { type DerElement, elementsWithin, objectId, TAG } from "./der.ts";

/**
 * A reason why no TLS library can use a key, and the remedy. Both go on after its certificate's
 * name.
 */
export interface KeyFlaw {
  readonly what: string;
  readonly remedy: string;
}

const DAMAGED: KeyFlaw = {
  what: "has a key that cannot be decoded",
  remedy: "the file is damaged, copy it again",
};

const OTHER_KEY = "get a certificate with a key of RSA with 2048 bits or more, of P-256, of P-384 or of Ed25519";

/** One bit that is wrong makes another algorithm or curve, so the file may be damaged, too. */
function unknown(kind: string): KeyFlaw {
  return {
    what: `has a key ${kind}, which TLS does not take`,
    remedy: `copy the file again in case it is damaged, or ${OTHER_KEY}`,
  };
}

/**
 * The public key of a certificate (RFC 5280, section 4.1). Null where the certificate has none, or
 * one that is no whole bytes.
 */
export function publicKeyIn(certificate: Uint8Array): Buffer | null {
  const [outer] = elementsWithin(certificate);
  const [toBeSigned] = elementsWithin(outer?.contents);
  const fields = elementsWithin(toBeSigned?.contents);
  // Only a certificate of version 1 begins with its serial number.
  const key = fields[fields[0]?.tag === TAG.integer ? 5 : 6];
  const [algorithm, bits] = elementsWithin(key?.contents);
  const isWhole = bits?.tag === TAG.bitString && bits.contents.length > 0 && bits.contents[0] === 0;
  return key !== undefined && algorithm?.tag === TAG.sequence && isWhole ? key.whole : null;
}

/**
 * The flaw of a public key; null where there is none that both runtimes can tell. `key` comes from
 * `publicKeyIn`. It decides by the bytes, since each runtime reads other kinds than its TLS takes.
 */
export function keyFlaw(key: Uint8Array): KeyFlaw | null {
  const [outer] = elementsWithin(key);
  const [algorithm, bits] = elementsWithin(outer?.contents);
  const [id, ...parameters] = elementsWithin(algorithm?.contents);
  const value = bits?.contents.subarray(1) ?? Buffer.alloc(0);
  const kind = objectId(id);
  if (kind === RSA || kind === RSA_PSS) return isRsa(value) ? null : DAMAGED;
  if (kind === EC) return curveFlaw(key, parameters[0]);
  const length = LENGTHS.get(kind);
  if (length !== undefined) return parameters.length === 0 && value.length === length ? null : DAMAGED;
  return kind === DSA || POST_QUANTUM.test(kind) ? null : unknown(`of the kind ${kind || "without a name"}`);
}

const RSA = "1.2.840.113549.1.1.1";
const RSA_PSS = "1.2.840.113549.1.1.10";
const EC = "1.2.840.10045.2.1";
const DSA = "1.2.840.10040.4.1";
/** Bytes of X25519, X448, Ed25519 and Ed448 (RFC 8410). */
const LENGTHS: ReadonlyMap<string, number> = new Map([
  ["1.3.101.110", 32],
  ["1.3.101.111", 56],
  ["1.3.101.112", 32],
  ["1.3.101.113", 57],
]);
/** ML-DSA and SLH-DSA (RFC 9881, RFC 9909). */
const POST_QUANTUM = /^2\.16\.840\.1\.101\.3\.4\.3\.(?:1[7-9]|2\d|3[01])$/;

/** RFC 8017, section 3.1: both numbers are odd, and the exponent is 3 or more. */
function isRsa(value: Uint8Array): boolean {
  const [outer] = elementsWithin(value);
  const [modulus, exponent] = elementsWithin(outer?.contents);
  const isOdd = (number: DerElement | undefined) =>
    number?.tag === TAG.integer && ((number.contents.at(-1) ?? 0) & 1) === 1;
  const isOne = exponent?.contents.every((byte, at, all) => byte === (at === all.length - 1 ? 1 : 0));
  return isOdd(modulus) && isOdd(exponent) && !isOne;
}

/** P-256, P-384, P-521, P-224 and secp256k1: both runtimes read them. */
const READ_CURVES: ReadonlySet<string> = new Set([
  "1.2.840.10045.3.1.7",
  "1.3.132.0.34",
  "1.3.132.0.35",
  "1.3.132.0.33",
  "1.3.132.0.10",
]);
/** Brainpool of 224 bits or more (RFC 5639): Deno does not read them, and sends them. */
const OTHER_CURVES = /^1\.3\.36\.3\.3\.2\.8\.1\.1\.(?:[5-9]|1[0-4])$/;

function curveFlaw(key: Uint8Array, parameters: DerElement | undefined): KeyFlaw | null {
  // The curve may be described in full, which Deno does not read either.
  if (parameters?.tag === TAG.sequence) return null;
  const curve = objectId(parameters);
  if (curve === "") return DAMAGED;
  if (READ_CURVES.has(curve)) return isRead(key) ? null : DAMAGED;
  return OTHER_CURVES.test(curve) ? null : unknown(`on the curve ${curve}`);
}

/** False for a point that is not on its curve. */
function isRead(key: Uint8Array): boolean {
  try {
    createPublicKey({ key: Buffer.from(key), format: "der", type: "spki" });
    return true;
  } catch {
    return false;
  }
}

/**
 * The reason why the runtime would fail at each connection where it sends `other` behind the
 * client's certificate; null: none. OpenSSL judges the keys of all that it sends, in Node and in
 * librdkafka. Deno judges none.
 */
export function sendingFlaw(own: string, other: string): KeyFlaw | null {
  try {
    createSecureContext({ cert: own + other, ca: [] });
    return null;
  } catch (error) {
    return /too small/.test((error as Error).message) ? TOO_SHORT : DAMAGED;
  }
}

const TOO_SHORT: KeyFlaw = {
  what: "has a key that is too short for the TLS of Node",
  remedy: "get one with a longer key, take this one out where brokers know it, or run with Deno",
};
