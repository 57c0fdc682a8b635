import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { bits, der, ecKey, objectId, rsaKey, sequence } from "./certificate_maker.ts";

// Public keys as certificates hold them (RFC 5280, section 4.1.2.7): rare ones, and those of
// nobody.

const EC = objectId("1.2.840.10045.2.1");
const RSA = objectId("1.2.840.113549.1.1.1");
const ED25519 = objectId("1.3.101.112");
const P256 = objectId("1.2.840.10045.3.1.7");
const P384 = objectId("1.3.132.0.34");
const NULL = der(0x05);

const spkiOf = (key: KeyObject) => key.export({ type: "spki", format: "der" });
const ofEc = (parameters: readonly Uint8Array[], point: Uint8Array) =>
  sequence(sequence(EC, ...parameters), bits(point));
const ofRsa = (...numbers: readonly Uint8Array[]) => sequence(sequence(RSA, NULL), bits(sequence(...numbers)));
const modulusOf = (key: KeyObject) => Buffer.from(key.export({ format: "jwk" }).n ?? "", "base64url");
const positive = (bytes: Uint8Array) => der(0x02, Buffer.of(0), bytes);
const exponent = positive(Buffer.of(1, 0, 1));

/** With one byte changed: at a number from the end. */
function changed(bytes: Uint8Array, fromEnd: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length - fromEnd] = change(copy[copy.length - fromEnd] as number);
  return copy;
}

/** Each with the beginning of what is wrong with it. */
export function oddKeys(): ReadonlyMap<string, readonly [key: Uint8Array, words: string]> {
  const point = spkiOf(ecKey().publicKey).subarray(-65);
  const modulus = modulusOf(rsaKey(2048).publicKey);
  const damaged = "has a key that cannot be decoded: the file is damaged, copy it again";
  const onCurve = (curve: string) => `has a key on the curve ${curve}, which TLS does not take: copy the file again`;
  const ofKind = (kind: string) => `has a key of the kind ${kind}, which TLS does not take: copy the file again`;
  return new Map<string, [Uint8Array, string]>([
    // One bit from P-256: this one was found at random.
    ["on a curve that nobody knows", [ofEc([objectId("1.2.840.10045.3.0.7")], point), onCurve("1.2.840.10045.3.0.7")]],
    ["on a curve of 192 bits", [
      spkiOf(generateKeyPairSync("ec", { namedCurve: "prime192v1" }).publicKey),
      onCurve("1.2.840.10045.3.1.1"),
    ]],
    ["of no curve", [ofEc([], point), damaged]],
    ["of NULL instead of a curve", [ofEc([NULL], point), damaged]],
    ["with a point of another curve", [ofEc([P384], point), damaged]],
    ["with a point beside the curve", [ofEc([P256], changed(point, 1, (byte) => byte ^ 1)), damaged]],
    ["with a point that is cut", [ofEc([P256], point.subarray(0, 60)), damaged]],
    ["without a point", [ofEc([P256], Buffer.alloc(0)), damaged]],
    ["of an algorithm that nobody knows", [
      sequence(sequence(objectId("1.2.840.113549.1.1.99"), NULL), bits(sequence(positive(modulus), exponent))),
      ofKind("1.2.840.113549.1.1.99"),
    ]],
    ["of RSA without an exponent", [ofRsa(positive(modulus)), damaged]],
    ["of RSA with the exponent 1", [ofRsa(positive(modulus), positive(Buffer.of(1))), damaged]],
    ["of RSA with an even exponent", [ofRsa(positive(modulus), positive(Buffer.of(1, 0, 0))), damaged]],
    ["of RSA with an even modulus", [ofRsa(positive(changed(modulus, 1, (byte) => byte ^ 1)), exponent), damaged]],
    ["of RSA with the modulus 0", [ofRsa(positive(Buffer.alloc(0)), exponent), damaged]],
    ["of RSA that is no DER", [sequence(sequence(RSA, NULL), bits(Buffer.from("garbage"))), damaged]],
    ["of Ed25519 that is too short", [sequence(sequence(ED25519), bits(Buffer.alloc(31, 7))), damaged]],
    ["of Ed25519 with parameters", [sequence(sequence(ED25519, NULL), bits(Buffer.alloc(32, 7))), damaged]],
  ]);
}

/** Keys that a certificate beside a client's may have: a broker may know them. */
export function rareKeys(): ReadonlyMap<string, Uint8Array> {
  const p256 = spkiOf(ecKey().publicKey);
  const [x, y] = [p256.subarray(-64, -32), p256.subarray(-32)];
  const made = (kind: { publicKey: KeyObject }) => spkiOf(kind.publicKey);
  const curve = (namedCurve: string) => made(generateKeyPairSync("ec", { namedCurve }));
  return new Map([
    ["P-224", curve("secp224r1")],
    ["P-384", curve("secp384r1")],
    ["P-521", curve("secp521r1")],
    ["secp256k1", curve("secp256k1")],
    ["brainpoolP256r1", curve("brainpoolP256r1")],
    ["brainpoolP512t1", curve("brainpoolP512t1")],
    ["P-256 in full", made(generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" }))],
    ["P-256 with half of the point", ofEc([P256], Buffer.concat([Buffer.of(2 + ((y[31] ?? 0) & 1)), x]))],
    ["RSA with 2048 bits", made(rsaKey(2048))],
    [
      "RSA without parameters",
      sequence(sequence(RSA), bits(sequence(positive(modulusOf(rsaKey(2048).publicKey)), exponent))),
    ],
    ["RSA-PSS", made(generateKeyPairSync("rsa-pss", { modulusLength: 2048 }))],
    ["Ed25519", made(generateKeyPairSync("ed25519"))],
    ["Ed448", made(generateKeyPairSync("ed448"))],
    ["X25519", made(generateKeyPairSync("x25519"))],
    ["DSA", made(generateKeyPairSync("dsa", { modulusLength: 2048, divisorLength: 256 }))],
  ]);
}
