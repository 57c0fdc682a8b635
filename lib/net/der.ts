/** One element of DER (ITU-T X.690): its tag, its contents, and all of its bytes. */
export interface DerElement {
  readonly tag: number;
  readonly contents: Buffer;
  /** The tag and the length included. */
  readonly whole: Buffer;
}

/** Tags that keys and certificates use (X.690, section 8; RFC 5280, appendix A). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utcTime: 0x17,
  sequence: 0x30,
} as const;

/** A tag of a context, such as `[0]`; `isBuilt` where it holds further elements. */
export function contextTag(number: number, isBuilt: boolean): number {
  return (isBuilt ? 0xa0 : 0x80) | number;
}

/** The element at the start of `bytes`. Throws a RangeError where there is no whole one. */
export function readElement(bytes: Uint8Array): DerElement {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const tag = buffer.readUInt8(0);
  const first = buffer.readUInt8(1);
  const more = first < 0x80 ? 0 : first & 0x7f;
  // No certificate is so long that its length takes more than 4 bytes, and DER has no open end.
  if (first === 0x80 || more > 4) throw new RangeError("This length is not DER");
  const length = more === 0 ? first : buffer.readUIntBE(2, more);
  const end = 2 + more + length;
  if (end > buffer.length) throw new RangeError("The element is longer than what holds it");
  return { tag, contents: buffer.subarray(2 + more, end), whole: buffer.subarray(0, end) };
}

/**
 * The elements that stand one after the other in `bytes`. Throws a RangeError where the last one is
 * not whole.
 */
export function readElements(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let rest = bytes; rest.length > 0;) {
    const element = readElement(rest);
    elements.push(element);
    rest = rest.subarray(element.whole.length);
  }
  return elements;
}

/** `readElements`; none where the bytes are no DER, or where there are none. */
export function elementsWithin(bytes: Uint8Array | undefined): readonly DerElement[] {
  try {
    return readElements(bytes ?? Buffer.alloc(0));
  } catch {
    return [];
  }
}

/** An object identifier in its usual notation, such as `2.5.29.17`. */
export function readObjectId({ contents }: DerElement): string {
  const parts: number[] = [];
  let part = 0;
  for (const byte of contents) {
    part = part * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (parts.length > 0) parts.push(part);
    else parts.push(Math.min(2, Math.floor(part / 40)), part - 40 * Math.min(2, Math.floor(part / 40)));
    part = 0;
  }
  return parts.join(".");
}

/** `readObjectId`; empty where the element is no object identifier. */
export function objectId(element: DerElement | undefined): string {
  return element?.tag === TAG.objectId ? readObjectId(element) : "";
}

/** A whole number of at most six bytes; NaN where the element is none. */
export function smallNumber(element: DerElement | undefined): number {
  if (element?.tag !== TAG.integer || element.contents.length > 6) return NaN;
  return element.contents.reduce((sum, byte) => sum * 256 + byte, 0);
}

/**
 * A UTCTime or GeneralizedTime as milliseconds (RFC 5280, section 4.1.2.5); NaN where it is
 * neither.
 */
export function readTime({ tag, contents }: DerElement): number {
  const text = contents.toString("latin1");
  const isShort = tag === TAG.utcTime;
  const parts = (isShort ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/)
    .exec(text)?.slice(1).map(Number);
  if (parts === undefined) return NaN;
  const [year = 0, month = 0, ...rest] = parts;
  // Two digits stand for the years 1950 to 2049.
  return Date.UTC(isShort ? year + (year < 50 ? 2000 : 1900) : year, month - 1, ...rest);
}
