import { createSocket } from "node:dgram";
import type { LookupAddress } from "node:dns";
import { addAbortListener } from "node:events";
import { connect, isIP } from "node:net";
import { isResourceExhausted } from "../exhausted_resource.ts";

// One name server: how it is asked, over UDP and TCP, and what questions and replies are as bytes.

/** Where a name server listens. */
export interface Server {
  readonly address: string;
  readonly port: number;
}

/** Milliseconds for the second family once the first has an address (RFC 8305, section 3). */
const RESOLUTION_DELAY = 50;

/**
 * Asks one server all `questions` at once, and gives their replies in the same order. A question
 * that nothing answers within `timeout` seconds has undefined. Once one reply has an address, the
 * others have 50 ms left: some servers never answer for IPv6. A datagram that was cut off counts
 * where the server does not answer over TCP. Rejects with the signal's reason when it aborts, and
 * with the system's error where this machine lacks files or memory.
 *
 * `Resolver` of node:dns was tried in place of this file. Deno's calls a failure, a
 * refusal and a name without an address all ENOTFOUND: nobody could tell when to ask the next
 * server. Node's gives up at a stray datagram, and drops its addresses where TCP fails. Neither can
 * ask over TCP from the start, and neither costs less.
 */
export function ask(
  server: Server,
  questions: readonly DnsQuestion[],
  overTcp: boolean,
  timeout: number,
  signal: AbortSignal,
): Promise<readonly (Reply | undefined)[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly (Reply | undefined)[]>();
  const replies: (Reply | undefined)[] = questions.map(() => undefined);
  const open = new Set(questions.keys());
  const stack = new DisposableStack();
  // Closes before the promise settles: Deno would begin another read of the socket otherwise.
  const end = () => {
    stack.dispose();
    resolve(replies);
  };
  const abort = (reason: unknown) => {
    stack.dispose();
    reject(reason);
  };
  const fail = (error?: Error) => isResourceExhausted(error) ? abort(error) : end();
  const endIn = (milliseconds: number) => stack.adopt(setTimeout(end, milliseconds), clearTimeout);
  const accept = (index: number, reply: Reply) => {
    if (!open.delete(index)) return;
    replies[index] = reply;
    if (open.size === 0) end();
    else if (reply.addresses.length > 0) endIn(RESOLUTION_DELAY);
  };
  const askOverTcp = (index: number, broken: (error?: Error) => void) => {
    stack.use(openTcp(server, questions[index] as DnsQuestion, (reply) => accept(index, reply), broken));
  };
  const hear = (index: number, reply: Reply) => {
    if (!open.has(index)) return;
    if (reply.code === RCODES.unreadable) replies[index] ??= reply;
    else if (!reply.isTruncated) accept(index, reply);
    else if (replies[index]?.isTruncated !== true) {
      replies[index] = reply;
      askOverTcp(index, (error) => isResourceExhausted(error) ? fail(error) : accept(index, reply));
    }
  };
  stack.use(addAbortListener(signal, () => abort(signal.reason)));
  endIn(timeout * 1000);
  if (overTcp) { for (const index of open) askOverTcp(index, fail); }
  else stack.use(openUdp(server, questions, hear, fail));
  return promise;
}

/**
 * Asks over a socket of its own, which has a random port: together with the questions' ids that
 * makes answers hard to forge (RFC 5452).
 */
function openUdp(
  server: Server,
  questions: readonly DnsQuestion[],
  hear: (index: number, reply: Reply) => void,
  broken: (error: Error) => void,
): Disposable {
  const isV6 = isIP(server.address) === 6;
  const socket = createSocket(isV6 ? "udp6" : "udp4");
  let isOpen = true;
  const fail = (error: Error) => {
    if (isOpen) broken(error);
  };
  socket.on("error", fail);
  const expected = canonical(server.address);
  socket.on("message", (bytes, { address, port }) => {
    // Deno passes on datagrams from any address.
    if (port !== server.port || canonical(address) !== expected) return;
    questions.forEach((question, index) => {
      const reply = isOpen ? decodeReply(bytes, question) : null;
      if (reply !== null) hear(index, reply);
    });
  });
  // A connected socket of Node's hears at once that nobody listens there.
  socket.connect(server.port, server.address, (error?: Error) => {
    if (!isOpen) return;
    if (error !== undefined) return fail(error);
    for (const question of questions) socket.send(encodeQuestion(question), (error) => error && fail(error));
  });
  return {
    [Symbol.dispose]() {
      if (isOpen) socket.close();
      isOpen = false;
    },
  };
}

/** One spelling of an address: IPv6 has several. The zone of a link-local address is left out. */
function canonical(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address.replace(/%.*/, "")}]`).hostname : address;
}

/** DNS over TCP: each message behind its length (RFC 1035, section 4.2.2). */
function openTcp(
  server: Server,
  question: DnsQuestion,
  hear: (reply: Reply) => void,
  broken: (error?: Error) => void,
): Disposable {
  const socket = connect({ host: server.address, port: server.port, noDelay: true });
  let received = Buffer.alloc(0);
  socket.once("connect", () => {
    const message = encodeQuestion(question);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    socket.write(Buffer.concat([length, message]));
  });
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    const reply = decodeReply(received.subarray(2, 2 + received.readUInt16BE(0)), question);
    if (reply === null) broken();
    else hear(reply);
  });
  const close = () => broken(failure);
  let failure: Error | undefined;
  socket.on("error", (error) => failure = error);
  socket.once("close", close);
  return {
    [Symbol.dispose]() {
      socket.off("close", close).destroy();
    },
  };
}

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
