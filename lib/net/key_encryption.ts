import { createDecipheriv, pbkdf2Sync } from "node:crypto";
import { type DerElement, elementsWithin, objectId, smallNumber, TAG } from "./der.ts";

/** How a private key is encrypted, as far as that matters for opening it. */
export interface Scheme {
  /** For a person. */
  readonly name: string;
  /**
   * True where both runtimes can open it, by themselves or with `open`. A failure then means the
   * password or the file.
   */
  readonly isCommon: boolean;
  /** Rounds that turn the password into a key. */
  readonly rounds: number;
  /** Opens it without the runtime's help, and gives PKCS#8. Throws where the password is wrong. */
  readonly open?: (password: string) => Uint8Array;
}

/**
 * Deno assumes SHA-256 or more for every PBES2. Keys of OpenSSL before 1.1 use SHA-1 (RFC 8018,
 * appendix A.2).
 */
const DIGESTS: ReadonlyMap<string, string> = new Map([
  ["", "sha1"],
  ["1.2.840.113549.2.7", "sha1"],
  ["1.2.840.113549.2.8", "sha224"],
  ["1.2.840.113549.2.9", "sha256"],
  ["1.2.840.113549.2.10", "sha384"],
  ["1.2.840.113549.2.11", "sha512"],
]);

interface Cipher {
  readonly name: string;
  /** Bytes of its key. */
  readonly length: number;
}

const CIPHERS: ReadonlyMap<string, Cipher> = new Map([
  ["2.16.840.1.101.3.4.1.2", { name: "aes-128-cbc", length: 16 }],
  ["2.16.840.1.101.3.4.1.22", { name: "aes-192-cbc", length: 24 }],
  ["2.16.840.1.101.3.4.1.42", { name: "aes-256-cbc", length: 32 }],
  ["1.2.840.113549.3.7", { name: "des-ede3-cbc", length: 24 }],
]);

const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
const SCRYPT = "1.3.6.1.4.1.11591.4.11";

/** The ciphers that both runtimes read in OpenSSL's own form, which is older than PKCS#8. */
const COMMON_LEGACY = /^(?:AES-(?:128|192|256)-CBC|DES-EDE3-CBC)$/;

/** The encryption of a key in OpenSSL's own form: `DEK-Info: AES-256-CBC,…`. */
export function legacyScheme(dekInfo: string): Scheme {
  const name = dekInfo.split(",")[0] ?? "";
  return { name, isCommon: COMMON_LEGACY.test(name), rounds: 1 };
}

/** The encryption of a PKCS#8 key (RFC 5958, section 3). */
export function schemeOf(bytes: Uint8Array): Scheme {
  const [outer] = elementsWithin(bytes);
  const [algorithm, data] = elementsWithin(outer?.contents);
  const [kind, parameters] = elementsWithin(algorithm?.contents);
  if (objectId(kind) !== PBES2 || parameters === undefined || data?.tag !== TAG.octetString) {
    return { name: `PKCS#8's scheme ${objectId(kind)}`, isCommon: false, rounds: 0 };
  }
  return pbes2(parameters, data.contents);
}

/** RFC 8018, appendix A.4. */
function pbes2(parameters: DerElement, data: Uint8Array): Scheme {
  const [derivation, encryption] = elementsWithin(parameters.contents).map(({ contents }) => elementsWithin(contents));
  const [cipherId, iv] = encryption ?? [];
  const cipher = CIPHERS.get(objectId(cipherId));
  const name = `PBES2 with ${cipher?.name ?? objectId(cipherId)}`;
  const function_ = objectId(derivation?.[0]);
  if (function_ === SCRYPT) return { name: `${name} and scrypt`, isCommon: isForBoth(cipher), rounds: 1 };
  const [salt, rounds, ...more] = elementsWithin(derivation?.[1]?.contents);
  // Behind the rounds may stand the key's length, a number, and then the function.
  const digestId = objectId(elementsWithin(more.findLast(({ tag }) => tag !== 2)?.contents)[0]);
  const digest = DIGESTS.get(digestId);
  if (function_ !== PBKDF2 || cipher === undefined || digest === undefined || salt?.tag !== TAG.octetString) {
    return { name: `${name} and ${digestId || function_}`, isCommon: false, rounds: smallNumber(rounds) };
  }
  const open = (password: string) => {
    const key = pbkdf2Sync(password, salt.contents, smallNumber(rounds), cipher.length, digest);
    const decipher = createDecipheriv(cipher.name, key, iv?.contents ?? null);
    return Buffer.concat([decipher.update(data), decipher.final()]);
  };
  const isCommon = isForBoth(cipher) || (cipher.name === "aes-192-cbc" && COMMON_192.has(digest));
  return { name: `${name} and ${digest}`, isCommon, rounds: smallNumber(rounds), open };
}

/** node:crypto has the ciphers of 128 and 256 bits and Triple DES on both runtimes. */
function isForBoth(cipher: Cipher | undefined): boolean {
  return cipher !== undefined && cipher.name !== "aes-192-cbc";
}

/** With these digests Deno opens a key of 192 bits by itself. */
const COMMON_192: ReadonlySet<string> = new Set(["sha256", "sha384", "sha512"]);
