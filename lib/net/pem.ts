import { type DerElement, elementsWithin, objectId, readElement, TAG } from "./der.ts";

/** A part of a file with keys or certificates, decoded from base64. */
export interface Block {
  /** The file's name for it, or its kind: `CERTIFICATE`, `EC PRIVATE KEY`. */
  readonly label: string;
  /** As in `Proc-Type: 4,ENCRYPTED` (RFC 1421). */
  readonly headers: ReadonlyMap<string, string>;
  /** DER; null: its base64 is damaged. */
  readonly bytes: Uint8Array | null;
}

/** The content of a file with keys or certificates. */
export interface Contents {
  readonly blocks: readonly Block[];
  /** The label of a block that begins and does not end. */
  readonly cutOff: string | null;
  /** The kind of a store that is neither PEM nor DER; null: none that is known. */
  readonly store: "PKCS#12" | "JKS" | null;
}

const NO_HEADERS: ReadonlyMap<string, string> = new Map();

/**
 * Reads PEM (RFC 7468, and the looser forms that programs write) and DER. Never throws: what is no
 * block is left out.
 */
export function readContents(file: Uint8Array): Contents {
  if (file[0] === TAG.sequence && !isText(file)) return readDer(file);
  if (JAVA_MAGIC.some((magic) => magic.every((byte, at) => file[at] === byte))) {
    return { blocks: [], cutOff: null, store: "JKS" };
  }
  return readPem(decode(file));
}

/** The first bytes of Java's own stores: JKS and JCEKS. */
const JAVA_MAGIC = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];

function isText(file: Uint8Array): boolean {
  return Buffer.from(file.buffer, file.byteOffset, file.byteLength).includes("-----BEGIN ");
}

/** Editors of Windows and PowerShell write byte-order marks, and UTF-16. */
function decode(file: Uint8Array): string {
  const encoding = file[0] === 0xff && file[1] === 0xfe
    ? "utf-16le"
    : file[0] === 0xfe && file[1] === 0xff
    ? "utf-16be"
    : "utf-8";
  return new TextDecoder(encoding).decode(file);
}

function readDer(file: Uint8Array): Contents {
  const label = labelOf(file);
  if (label === "PKCS#12") return { blocks: [], cutOff: null, store: label };
  return { blocks: label === null ? [] : [{ label, headers: NO_HEADERS, bytes: file }], cutOff: null, store: null };
}

/** The kind of some DER, by its outermost elements; null: neither key nor certificate. */
export function labelOf(bytes: Uint8Array): string | null {
  const [outer] = elementsWithin(bytes);
  if (outer?.tag !== TAG.sequence) return null;
  const inner = elementsWithin(outer.contents);
  const [first, second, third] = inner;
  const isMadeOf = (...tags: number[]) => tags.every((tag, at) => inner[at]?.tag === tag);
  if (isMadeOf(TAG.sequence, TAG.sequence, TAG.bitString) && inner.length === 3) return "CERTIFICATE";
  if (isMadeOf(TAG.integer, TAG.sequence, TAG.octetString)) return "PRIVATE KEY";
  if (isMadeOf(TAG.sequence, TAG.octetString)) return "ENCRYPTED PRIVATE KEY";
  if (isMadeOf(TAG.integer, TAG.octetString)) return "EC PRIVATE KEY";
  if (inner.length >= 6 && inner.every(({ tag }) => tag === TAG.integer)) return numbersOf(inner);
  if (isMadeOf(TAG.integer, TAG.sequence) && first?.contents[0] === 3 && isPkcs7(second)) return "PKCS#12";
  return objectId(first) === "1.2.840.113549.1.7.2" && third === undefined ? "PKCS7" : null;
}

/** PKCS#1 has nine numbers, OpenSSL's form of a DSA key six. */
function numbersOf(inner: readonly DerElement[]): string {
  return inner.length === 6 ? "DSA PRIVATE KEY" : "RSA PRIVATE KEY";
}

function isPkcs7(element: DerElement | undefined): boolean {
  const [type] = elementsWithin(element?.contents);
  return objectId(type).startsWith("1.2.840.113549.1.7.");
}

const BEGIN = /-----BEGIN ([A-Z0-9#][A-Z0-9# ]*)-----/g;

/**
 * A block ends before the next one begins. Text between two blocks, and around all, is for people.
 */
function readPem(text: string): Contents {
  // Somebody may have written line breaks as JSON does, to get them into one line.
  const lines = text.replaceAll("\\n", "\n");
  const begins = [...lines.matchAll(BEGIN)];
  let cutOff: string | null = null;
  const blocks = begins.flatMap((begin, at) => {
    const label = begin[1] as string;
    const body = lines.slice(begin.index + begin[0].length, begins[at + 1]?.index);
    const end = body.indexOf(`-----END ${label}-----`);
    if (end !== -1) return [readBlock(label, body.slice(0, end))];
    cutOff ??= label;
    return [];
  });
  return { blocks, cutOff, store: null };
}

function readBlock(label: string, body: string): Block {
  const lines = body.split(/\r\n|\r|\n/).map((line) => line.trim());
  // A folded header goes on after a blank. No header that matters here is folded.
  const headers = new Map(lines.flatMap((line) => {
    const [, name, value] = /^([A-Za-z][A-Za-z0-9-]*):\s*(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value ?? ""] as const];
  }));
  const base64 = lines.filter((line) => !line.includes(":")).join("").replace(/\s/g, "");
  const isWhole = base64.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
  return { label, headers, bytes: isWhole ? Buffer.from(base64, "base64") : null };
}

/** DER as PEM: lines of 64 characters, as in RFC 7468. */
export function toPem(label: string, bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes).toString("base64");
  return `-----BEGIN ${label}-----\n${base64.replace(/(.{64})(?=.)/g, "$1\n")}\n-----END ${label}-----\n`;
}

/**
 * The first element, and the rest. Behind a certificate that OpenSSL trusts stand the uses that it
 * is trusted for. Null where the bytes are no DER.
 */
export function firstOf(bytes: Uint8Array): { readonly first: Uint8Array; readonly rest: Uint8Array } | null {
  try {
    const { whole } = readElement(bytes);
    return { first: whole, rest: bytes.subarray(whole.length) };
  } catch {
    return null;
  }
}
