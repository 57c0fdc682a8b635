import { createPrivateKey, type KeyObject } from "node:crypto";
import { contextTag, elementsWithin, objectId } from "./der.ts";
import { legacyScheme, type Scheme, schemeOf } from "./key_encryption.ts";
import { type Block, labelOf, toPem } from "./pem.ts";

/**
 * A private key that can be used here, or its problem. The problem ends a sentence that begins with
 * the file's name.
 */
export type ReadKey =
  | { readonly key: KeyObject; readonly pem: string; readonly wasEncrypted: boolean }
  | { readonly problem: string };

/** Rounds that take some ten seconds. Usual are 2,048 to 600,000. */
const MOST_ROUNDS = 10_000_000;

const DAMAGED = "its key cannot be decoded: the file is damaged, copy it again";
const NO_PASSWORD = "the key is encrypted: put its password into KAFKA_SSL_KEY_PASSWORD, or into a file that " +
  "--kafka-ssl-key-password-file (KAFKA_SSL_KEY_PASSWORD_FILE) names";
/** A wrong password cannot be told from a damaged key. */
const WRONG_PASSWORD = "KAFKA_SSL_KEY_PASSWORD (or --kafka-ssl-key-password-file) does not open its key: give the " +
  "password that the key was encrypted with";
const OF_SSH = "this is a key for SSH: write a copy of it in the form for TLS with ssh-keygen -p -m PKCS8 -f COPY";
const ENCRYPT_ANEW = "write the key anew with openssl pkey -in OLD -aes256 -out NEW";
const MAKE_ANOTHER =
  "make one of RSA with 2048 bits or more, of P-256, of P-384 or of Ed25519, and a certificate for it";

/** True for a block that holds, or should hold, a private key. */
export function isKey({ label }: Block): boolean {
  return /(?:^| )PRIVATE KEY$/.test(label);
}

/**
 * Decodes a private key: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) or SEC 1 (RFC 5915), encrypted or
 * not. Gives it as unencrypted PKCS#8. The TLS libraries of both runtimes and of librdkafka take
 * that.
 */
export function readKey(block: Block, password: string | null): ReadKey {
  const { label, bytes } = block;
  if (label === "OPENSSH PRIVATE KEY") return { problem: OF_SSH };
  if (bytes === null) return { problem: DAMAGED };
  const scheme = schemeOfBlock(block, bytes);
  if (scheme === null) return usable(() => createPrivateKey(plainPem(bytes, label)), bytes, false);
  if (password === null) return { problem: NO_PASSWORD };
  if (scheme.rounds > MOST_ROUNDS) {
    return { problem: `its password goes through ${scheme.rounds} rounds, which takes too long: ${ENCRYPT_ANEW}` };
  }
  return decrypted({ ...block, bytes }, scheme, password);
}

/** Null: it is not encrypted. */
function schemeOfBlock({ label, headers }: Block, bytes: Uint8Array): Scheme | null {
  if (isLegacy(headers)) return legacyScheme(headers.get("DEK-Info") ?? "");
  return (labelOf(bytes) ?? label) === "ENCRYPTED PRIVATE KEY" ? schemeOf(bytes) : null;
}

/** True for OpenSSL's own form of an encrypted key. */
function isLegacy(headers: Block["headers"]): boolean {
  return headers.get("Proc-Type")?.includes("ENCRYPTED") === true;
}

/** Named for the kind of its bytes: some programs call PKCS#8 an "RSA PRIVATE KEY". */
function plainPem(bytes: Uint8Array, label: string): string {
  return toPem(labelOf(bytes) ?? label, bytes);
}

function encryptedPem({ label, headers, bytes }: Block & { readonly bytes: Uint8Array }): string {
  if (!isLegacy(headers)) return toPem("ENCRYPTED PRIVATE KEY", bytes);
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\n`).join("");
  return toPem(label, bytes).replace("\n", `\n${lines}\n`);
}

/** Opened by this program, or else by the runtime. */
function decrypted(block: Block & { readonly bytes: Uint8Array }, scheme: Scheme, password: string): ReadKey {
  const plain = openedByUs(scheme, password);
  if (plain !== null) return usable(() => createPrivateKey(plainPem(plain, "PRIVATE KEY")), plain, true);
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: encryptedPem(block), passphrase: password });
  } catch (error) {
    // Deno reports a wrong password for some schemes that it does not know.
    if (scheme.isCommon || !(ON_DENO || isUnknown(error))) return { problem: WRONG_PASSWORD };
    return { problem: `its encryption (${scheme.name}) is not known here: ${ENCRYPT_ANEW}` };
  }
  return usable(() => key, null, true);
}

/** One wrong password of 256 gives valid padding: the result is then no key. */
function openedByUs({ open }: Scheme, password: string): Uint8Array | null {
  try {
    const plain = open?.(password);
    return plain !== undefined && labelOf(plain) === "PRIVATE KEY" ? plain : null;
  } catch {
    return null;
  }
}

function isUnknown(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ERR_OSSL_EVP_UNSUPPORTED" || /unsupported|unknown/i.test(message);
}

/**
 * The key in the form that every client takes, where TLS can use its kind. `bytes`: its source,
 * where that is known.
 */
function usable(read: () => KeyObject, bytes: Uint8Array | null, wasEncrypted: boolean): ReadKey {
  try {
    const key = read();
    const kind = unusableKind(key);
    if (kind !== null) return { problem: `${kind}${/: /.test(kind) ? ", or " : ": "}${MAKE_ANOTHER}` };
    return { key, wasEncrypted, pem: key.export({ type: "pkcs8", format: "pem" }) as string };
  } catch {
    // Deno throws for curves that it does not know, and Node for those that OpenSSL does not know.
    const curve = bytes === null ? null : curveOf(bytes);
    return { problem: curve === null || KNOWN_CURVES.has(curve) ? DAMAGED : `${OTHER_CURVE}: ${MAKE_ANOTHER}` };
  }
}

const ON_DENO = "Deno" in globalThis;

const CURVES: ReadonlySet<string> = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const KNOWN_CURVES: ReadonlySet<string> = new Set(["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"]);

const OTHER_CURVE =
  "its key is on another curve than P-256, P-384 and P-521, or describes the curve in full, which TLS does not take";

/**
 * The problem of a kind that TLS 1.3 or the runtime's TLS library cannot use. They would silently
 * send no certificate, or fail at each connection.
 */
function unusableKind(key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  switch (type) {
    case "rsa": {
      const bits = details?.modulusLength ?? 0;
      return bits < 2048 ? `its key is RSA with ${bits} bits, which is too short for TLS` : null;
    }
    case "ec": {
      const isNamed = curveOf(key.export({ type: "pkcs8", format: "der" })) !== "";
      return isNamed && CURVES.has(details?.namedCurve ?? "") ? null : OTHER_CURVE;
    }
    case "ed25519":
      return null;
    case "rsa-pss":
    case "ed448":
      return ON_DENO ? `its key is of the kind ${type}, which Deno does not take: run with Node` : null;
    default:
      return `its key is of the kind ${type}, which TLS does not take`;
  }
}

/**
 * The curve's object identifier in PKCS#8 or SEC 1. Empty where the curve is described in full;
 * null where there is no elliptic curve.
 */
function curveOf(bytes: Uint8Array): string | null {
  const [outer] = elementsWithin(bytes);
  const inner = elementsWithin(outer?.contents);
  if (labelOf(bytes) === "EC PRIVATE KEY") {
    const named = inner.find(({ tag }) => tag === contextTag(0, true));
    return named === undefined ? null : objectId(elementsWithin(named.contents)[0]);
  }
  const [algorithm, curve] = elementsWithin(inner[1]?.contents);
  return objectId(algorithm) === "1.2.840.10045.2.1" ? objectId(curve) : null;
}
