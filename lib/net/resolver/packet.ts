import type { LookupAddress } from "node:dns";

/** Record types (RFC 1035, section 3.2.2; RFC 3596, section 2.1). */
export const TYPES = { A: 1, AAAA: 28 } as const;
/**
 * Response codes (RFC 1035, section 4.1.1), and one for what is no answer, though it comes from the
 * server and to the question.
 */
export const RCODES = { noError: 0, noSuchName: 3, unreadable: -1 } as const;

/** What is asked of a name server. */
export interface DnsQuestion {
  /** 16 random bits: an answer has to repeat them. */
  readonly id: number;
  /** Without a dot at its end. */
  readonly name: string;
  readonly type: number;
}

/** What it said. */
export interface Reply {
  readonly code: number;
  /**
   * There is more than a datagram holds: ask again over TCP. (Some servers say so over TCP too,
   * where it means nothing.)
   */
  readonly isTruncated: boolean;
  readonly addresses: readonly LookupAddress[];
}

const HEADER_BYTES = 12;
const IS_RESPONSE = 0x8000;
const IS_TRUNCATED = 0x0200;
const RECURSION_DESIRED = 0x0100;
const INTERNET = 1;

/** True where DNS can ask for a name at all (RFC 1035, section 2.3.4). */
export function isAskable(name: string): boolean {
  return name.length <= 253 && name.split(".").every((label) => label.length > 0 && label.length <= 63);
}

/** The bytes of a question (RFC 1035, section 4.1); its name has to be askable. */
export function encodeQuestion({ id, name, type }: DnsQuestion): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]);
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(RECURSION_DESIRED, 2);
  head.writeUInt16BE(1, 4);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, INTERNET])]);
}

/**
 * The reply in `bytes`; null where they are no answer to `question`: whoever sent them, the true
 * answer may still come.
 */
export function decodeReply(bytes: Buffer, question: DnsQuestion): Reply | null {
  if (bytes.length < HEADER_BYTES) return null;
  const [flags, questions] = [bytes.readUInt16BE(2), bytes.readUInt16BE(4)];
  const code = flags & 0x000f;
  if (bytes.readUInt16BE(0) !== question.id || (flags & IS_RESPONSE) === 0) return null;
  const asked = encodeQuestion(question).subarray(HEADER_BYTES);
  const start = HEADER_BYTES + asked.length;
  // A server may repeat the name in another case; one that does not understand the question, not at all.
  const repeated = bytes.toString("latin1", HEADER_BYTES, start).toLowerCase();
  if (questions !== 0 && !(questions === 1 && repeated === asked.toString("latin1").toLowerCase())) return null;
  // What stands beside an error does not count.
  if (code !== RCODES.noError) return { code, isTruncated: false, addresses: [] };
  const reply = { code, isTruncated: (flags & IS_TRUNCATED) !== 0, addresses: [] };
  const unreadable = { code: RCODES.unreadable, isTruncated: false, addresses: [] };
  if (questions === 0) return unreadable;
  try {
    return { ...reply, addresses: readAddresses(bytes, start, question.type) };
  } catch (error) {
    // Shorter than it says: where there is more, it was cut off.
    if (error instanceof RangeError) return reply.isTruncated ? reply : unreadable;
    throw error;
  }
}

/** The addresses among the answers; aliases on the way to them (CNAME) were followed by the server. */
function readAddresses(bytes: Buffer, start: number, type: number): LookupAddress[] {
  const found: LookupAddress[] = [];
  let at = start;
  for (let left = bytes.readUInt16BE(6); left > 0; left--) {
    at = skipName(bytes, at);
    const size = bytes.readUInt16BE(at + 8);
    const data = bytes.subarray(at + 10, at + 10 + size);
    if (data.length < size) throw new RangeError("the record ends early");
    if (bytes.readUInt16BE(at) === type && bytes.readUInt16BE(at + 2) === INTERNET) {
      if (type === TYPES.A && size === 4) found.push({ address: data.join("."), family: 4 });
      if (type === TYPES.AAAA && size === 16) found.push({ address: ipv6Of(data), family: 6 });
    }
    at += 10 + size;
  }
  return found;
}

/** A name ends with an empty label, or with a pointer to an earlier one, which need not be followed. */
function skipName(bytes: Buffer, start: number): number {
  let at = start;
  for (let length = bytes.readUInt8(at); length > 0; length = bytes.readUInt8(at)) {
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
  }
  return at + 1;
}

/** In its shortest form (RFC 5952), which URL makes. */
function ipv6Of(data: Buffer): string {
  const groups = data.toString("hex").match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
