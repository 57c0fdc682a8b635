import type { LookupAddress } from "node:dns";

/** Record types (RFC 1035, section 3.2.2; RFC 3596, section 2.1). */
export const TYPES = { A: 1, AAAA: 28 } as const;
/**
 * Response codes (RFC 1035, section 4.1.1), and one more: the server answered the question, and
 * nobody can read its answer.
 */
export const RCODES = { noError: 0, noSuchName: 3, unreadable: -1 } as const;

/** A question to a name server. */
export interface DnsQuestion {
  /** 16 random bits, which the answer has to repeat. */
  readonly id: number;
  /** It has no dot at its end. */
  readonly name: string;
  readonly type: number;
}

/** A name server's answer. */
export interface Reply {
  readonly code: number;
  /**
   * The datagram does not hold all: the question has to be asked again over TCP. Some servers set
   * this over TCP too, where it means nothing.
   */
  readonly isTruncated: boolean;
  readonly addresses: readonly LookupAddress[];
}

const HEADER_BYTES = 12;
const IS_RESPONSE = 0x8000;
const IS_TRUNCATED = 0x0200;
const RECURSION_DESIRED = 0x0100;
const INTERNET = 1;

/** True where a question can hold the name (RFC 1035, section 2.3.4). */
export function isAskable(name: string): boolean {
  return name.length <= 253 && name.split(".").every((label) => label.length > 0 && label.length <= 63);
}

/** Writes a question as bytes (RFC 1035, section 4.1); its name has to be askable. */
export function encodeQuestion({ id, name, type }: DnsQuestion): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]);
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(RECURSION_DESIRED, 2);
  head.writeUInt16BE(1, 4);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, INTERNET])]);
}

/**
 * Reads the reply in `bytes`, or gives null where they do not answer `question`: the true answer
 * may still come.
 */
export function decodeReply(bytes: Buffer, question: DnsQuestion): Reply | null {
  if (bytes.length < HEADER_BYTES) return null;
  const [flags, questions] = [bytes.readUInt16BE(2), bytes.readUInt16BE(4)];
  const code = flags & 0x000f;
  if (bytes.readUInt16BE(0) !== question.id || (flags & IS_RESPONSE) === 0) return null;
  const asked = encodeQuestion(question).subarray(HEADER_BYTES);
  const start = HEADER_BYTES + asked.length;
  // A server may repeat the name in another case, or nothing where it cannot read the question.
  const repeated = bytes.toString("latin1", HEADER_BYTES, start).toLowerCase();
  if (questions !== 0 && !(questions === 1 && repeated === asked.toString("latin1").toLowerCase())) return null;
  // Addresses beside an error do not count.
  if (code !== RCODES.noError) return { code, isTruncated: false, addresses: [] };
  const reply = { code, isTruncated: (flags & IS_TRUNCATED) !== 0, addresses: [] };
  const unreadable = { code: RCODES.unreadable, isTruncated: false, addresses: [] };
  if (questions === 0) return unreadable;
  try {
    return { ...reply, addresses: readAddresses(bytes, start, question.type) };
  } catch (error) {
    // The bytes end early. Where the server says that there is more, it cut them off itself.
    if (error instanceof RangeError) return reply.isTruncated ? reply : unreadable;
    throw error;
  }
}

/** Reads the addresses among the answers. The server has followed the aliases (CNAME) to them. */
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

/** Where a name ends: behind an empty label, or behind a pointer to an earlier name. */
function skipName(bytes: Buffer, start: number): number {
  let at = start;
  for (let length = bytes.readUInt8(at); length > 0; length = bytes.readUInt8(at)) {
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
  }
  return at + 1;
}

/** Writes an IPv6 address in its shortest form (RFC 5952), as URL does. */
function ipv6Of(data: Buffer): string {
  const groups = data.toString("hex").match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
