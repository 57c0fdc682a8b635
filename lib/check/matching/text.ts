/** A charset that cannot be read, with its name for a person. */
export interface UnknownCharset {
  readonly unknown: string;
}

/** Names that mail programs and old servers use, with their names in the Encoding Standard. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["utf8mb4", "utf-8"],
  ["cp65001", "utf-8"],
  ["latin-1", "latin1"],
  ["iso-latin-1", "latin1"],
  ["cp932", "shift_jis"],
  ["cp936", "gbk"],
  ["cp949", "euc-kr"],
  ["uhc", "euc-kr"],
  ["cp950", "big5"],
  ...["1250", "1251", "1252", "1253", "1254", "1255", "1256", "1257", "1258"].flatMap((page) =>
    [`cp${page}`, `cp-${page}`, `win-${page}`, `windows${page}`].map((name) => [name, `windows-${page}`] as const)
  ),
]);

/**
 * Encodings for which Node has tables of its own. These differ here and there from the Encoding
 * Standard.
 */
const MULTI_BYTE: ReadonlySet<string> = new Set([
  "big5",
  "euc-jp",
  "euc-kr",
  "gb18030",
  "gbk",
  "iso-2022-jp",
  "shift_jis",
]);

/**
 * Decodes the text of a body. The charset is that of a byte-order mark, else of the Content-Type,
 * else UTF-8 (Encoding Standard, section 6). It is the same on both runtimes. Bytes that are no
 * text in that charset become U+FFFD.
 */
export async function textOf(bytes: Uint8Array, contentType: string | null): Promise<string | UnknownCharset> {
  const label = markOf(bytes) ?? labelOf(contentType ?? "") ?? "utf-8";
  const encoding = encodingOf(label);
  if (encoding === null) return { unknown: label };
  if (!MULTI_BYTE.has(encoding)) return new TextDecoder(encoding).decode(bytes);
  // Loaded when the first such page comes: few sites have one, and the tables are large.
  const { createMultibyteDecoder } = await import("@exodus/bytes/multi-byte.js");
  return createMultibyteDecoder(encoding, true)(bytes);
}

function markOf([first, second, third]: Uint8Array): string | null {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  return first === 0xff && second === 0xfe ? "utf-16le" : null;
}

const CHARSET = /;\s*charset\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|'([^']*)'?|([^\s;,]*))/i;

/** The charset that a Content-Type names; null where it names none. */
function labelOf(contentType: string): string | null {
  const [, double, single, bare] = CHARSET.exec(contentType) ?? [];
  const label = (double?.replaceAll(/\\(.)/g, "$1") ?? single ?? bare ?? "").trim().toLowerCase();
  return label === "" ? null : label;
}

/** The encoding's name in the Encoding Standard; null where it has none. */
function encodingOf(label: string): string | null {
  try {
    return new TextDecoder(ALIASES.get(label) ?? label).encoding;
  } catch {
    return null;
  }
}
