/** One element of DER (ITU-T X.690): its tag, what it holds, and all of its bytes. */
export interface KeyElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly whole: Uint8Array;
}

/** The tags that keys and certificates begin with, or are told apart by. */
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_ID = 0x06;
export const SEQUENCE = 0x30;

/** The first element of some bytes; more may follow. Throws a RangeError where it does not end within them. */
export function firstElement(bytes: Uint8Array): KeyElement {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined) throw new RangeError("DER ends too early");
  const more = first < 0x80 ? 0 : first & 0x7f;
  // More than 4 bytes of length, or none: no file is that long, and DER knows no open end.
  if (more > 4 || first === 0x80) throw new RangeError("DER has no such length");
  const begin = 2 + more;
  const length = more === 0 ? first : bytes.subarray(2, begin).reduce((sum, byte) => sum * 256 + byte, 0);
  if (begin + length > bytes.length) throw new RangeError("DER ends too early");
  return { tag, content: bytes.subarray(begin, begin + length), whole: bytes.subarray(0, begin + length) };
}

/**
 * The elements that some bytes are made of, one behind the other. Throws a RangeError where the
 * last one does not end with them.
 */
export function elementsOf(bytes: Uint8Array): KeyElement[] {
  const found: KeyElement[] = [];
  for (let rest = bytes; rest.length > 0; rest = rest.subarray(found.at(-1)?.whole.length)) {
    found.push(firstElement(rest));
  }
  return found;
}

/** `elementsOf`, or none where the bytes are no DER. */
export function elementsWithin(bytes: Uint8Array): readonly KeyElement[] {
  try {
    return elementsOf(bytes);
  } catch {
    return [];
  }
}

/** An object identifier as people write it: `1.2.840.113549.1.1.1`. Empty where the element is none. */
export function objectId(element: KeyElement | undefined): string {
  if (element?.tag !== OBJECT_ID) return "";
  const numbers: number[] = [];
  let number = 0;
  for (const byte of element.content) {
    number = number * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(number);
    number = 0;
  }
  const [first = 0, ...rest] = numbers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join(".");
}

/** A whole number of at most six bytes; NaN where the element is none. */
export function smallNumber(element: KeyElement | undefined): number {
  if (element?.tag !== INTEGER || element.content.length > 6) return NaN;
  return element.content.reduce((sum, byte) => sum * 256 + byte, 0);
}
