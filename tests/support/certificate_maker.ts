import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

// Certificates that no tool makes: put together from DER, so that any part may be unusual.

/** One element of DER: its tag, and its content. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(contents);
  const size = Buffer.from(bytes.length.toString(16).padStart(2, "0").replace(/^(.(?:..)*)$/, "0$1"), "hex");
  const length = bytes.length < 0x80 ? Buffer.of(bytes.length) : Buffer.concat([Buffer.of(0x80 | size.length), size]);
  return Buffer.concat([Buffer.of(tag), length, bytes]);
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
export const octets = (...parts: readonly Uint8Array[]) => der(0x04, ...parts);
export const bits = (...bytes: readonly Uint8Array[]) => der(0x03, Buffer.of(0), ...bytes);

/** An object identifier, as `2.5.29.17`. */
export function objectId(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const groups = [first * 40 + second, ...rest].map((value) => {
    const sevens = [value & 0x7f];
    for (let left = value >>> 7; left > 0; left >>>= 7) sevens.unshift((left & 0x7f) | 0x80);
    return Buffer.from(sevens);
  });
  return der(0x06, ...groups);
}

/** A name with one part, its common name; "" has none. */
export const nameOf = (commonName: string) =>
  commonName === ""
    ? sequence()
    : sequence(der(0x31, sequence(objectId("2.5.4.3"), der(0x0c, Buffer.from(commonName)))));

/** A time up to 2049, as certificates have it. */
export const utcTime = (time: number) =>
  der(0x17, Buffer.from(new Date(time).toISOString().replaceAll(/^..|[-:T]|\.\d+/g, "")));
/** A time from 2050 on, as certificates have it. */
export const generalizedTime = (time: number) =>
  der(0x18, Buffer.from(new Date(time).toISOString().replaceAll(/[-:T]|\.\d+/g, "")));

/** An extension (RFC 5280, section 4.1). */
export const extension = (id: string, value: Uint8Array, isCritical = false) =>
  sequence(objectId(id), ...(isCritical ? [der(0x01, Buffer.of(0xff))] : []), octets(value));

/** The fields of a certificate that its signature covers, each in DER. */
export interface Fields {
  /** Version 3 is written as 2. Version 1 is not written at all. */
  readonly version: number;
  readonly serial: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  /** Its bytes may be those of no key. */
  readonly key: KeyObject | Uint8Array;
  readonly extensions: readonly Uint8Array[];
  readonly digest: "sha256" | "sha384" | "sha1";
}

/** Signatures by the kind of the key and the digest: RFC 5758, RFC 4055, RFC 8410. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  "ec sha1": "1.2.840.10045.4.1",
  "ec sha256": "1.2.840.10045.4.3.2",
  "ec sha384": "1.2.840.10045.4.3.3",
  "rsa sha1": "1.2.840.113549.1.1.5",
  "rsa sha256": "1.2.840.113549.1.1.11",
  "rsa sha384": "1.2.840.113549.1.1.12",
};

function algorithmOf(signer: KeyObject, digest: Fields["digest"]): Buffer {
  const kind = signer.asymmetricKeyType as string;
  const id = ALGORITHMS[`${kind} ${digest}`];
  if (id === undefined) return sequence(objectId("1.3.101.112"));
  return kind === "rsa" ? sequence(objectId(id), der(0x05)) : sequence(objectId(id));
}

/** The bytes to sign. */
export function toBeSigned(fields: Fields, signer: KeyObject): Buffer {
  const { version, serial, issuer, validity, subject, key, extensions, digest } = fields;
  const number = version === 1 ? [] : [der(0xa0, der(0x02, Buffer.of(version - 1)))];
  const list = extensions.length === 0 ? [] : [der(0xa3, sequence(...extensions))];
  const spki = key instanceof Uint8Array ? key : key.export({ type: "spki", format: "der" });
  const algorithm = algorithmOf(signer, digest);
  return sequence(...number, der(0x02, serial), algorithm, issuer, validity, subject, spki, ...list);
}

/** The certificate of these bytes, with a signature that fits them. */
export function signed(bytes: Uint8Array, signer: KeyObject, digest: Fields["digest"]): Buffer {
  const isEd = signer.asymmetricKeyType === "ed25519";
  return sequence(bytes, algorithmOf(signer, digest), bits(sign(isEd ? null : digest, bytes, signer)));
}

export const pemOf = (raw: Uint8Array) =>
  `-----BEGIN CERTIFICATE-----\n${
    Buffer.from(raw).toString("base64").replaceAll(/.{64}(?!$)/g, "$&\n")
  }\n-----END CERTIFICATE-----\n`;

export type KeyPair = Readonly<Record<"publicKey" | "privateKey", KeyObject>>;

export const ecKey = (namedCurve = "P-256"): KeyPair => generateKeyPairSync("ec", { namedCurve });
export const rsaKey = (modulusLength: number): KeyPair => generateKeyPairSync("rsa", { modulusLength });
export const edKey = (): KeyPair => generateKeyPairSync("ed25519");

/** A positive number of so many bytes. */
export function serialOf(length: number): Buffer {
  const bytes = randomBytes(length);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes;
}
