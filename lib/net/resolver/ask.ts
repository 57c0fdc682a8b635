import { createSocket } from "node:dgram";
import { addAbortListener } from "node:events";
import { connect, isIP } from "node:net";
import { isResourceExhausted } from "../exhausted_resource.ts";
import { decodeReply, type DnsQuestion, encodeQuestion, RCODES, type Reply } from "./packet.ts";

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
 * `Resolver` of node:dns was tried in place of this and of `packet.ts`. Deno's calls a failure, a
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
