import { createSocket } from "node:dgram";
import { connect, isIP } from "node:net";
import { isResourceExhausted } from "../exhausted_resource.ts";
import { decodeReply, type DnsQuestion, encodeQuestion, RCODES, type Reply } from "./packet.ts";

/** Where a name server listens. */
export interface Server {
  readonly address: string;
  readonly port: number;
}

/** Milliseconds that the second family is waited for where the first has brought an address (RFC 8305, section 3). */
const RESOLUTION_DELAY = 50;

/**
 * Asks one server all `questions` at once, and gives the reply to each, in their order: what a
 * datagram had room for where the server then does not answer over TCP, and undefined where nothing
 * came within `timeout` seconds. Where one reply has brought an address, the others have 50 ms
 * left: some servers never answer for IPv6. Rejects with the signal's reason when it aborts, and
 * with the system's error where this machine lacks what asking takes.
 */
export function ask(
  server: Server,
  questions: readonly DnsQuestion[],
  overTcp: boolean,
  timeout: number,
  signal: AbortSignal,
): Promise<readonly (Reply | undefined)[]> {
  return new Promise((resolve, reject) => {
    const replies: (Reply | undefined)[] = questions.map(() => undefined);
    // What is better than nothing.
    const scraps: (Reply | undefined)[] = [];
    const channels: Disposable[] = [];
    let hurry: ReturnType<typeof setTimeout> | undefined;
    const close = () => {
      clearTimeout(timer);
      clearTimeout(hurry);
      signal.removeEventListener("abort", abort);
      for (const channel of channels) channel[Symbol.dispose]();
    };
    const end = () => {
      close();
      resolve(replies.map((reply, index) => reply ?? scraps[index]));
    };
    const abort = () => {
      close();
      reject(signal.reason);
    };
    const fail = (error?: Error) => {
      if (!isResourceExhausted(error)) return end();
      close();
      reject(error);
    };
    const accept = (index: number, reply: Reply) => {
      replies[index] ??= reply;
      if (replies.every((reply) => reply !== undefined)) end();
      else if (reply.addresses.length > 0) hurry ??= setTimeout(end, RESOLUTION_DELAY);
    };
    const askOverTcp = (index: number, broken: (error?: Error) => void) => {
      channels.push(openTcp(server, questions[index] as DnsQuestion, (reply) => accept(index, reply), broken));
    };
    const timer = setTimeout(end, timeout * 1000);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) return abort();
    if (overTcp) questions.forEach((_, index) => askOverTcp(index, fail));
    else {
      channels.push(openUdp(server, questions, (index, reply) => {
        if (reply.code === RCODES.unreadable) scraps[index] ??= reply;
        else if (!reply.isTruncated) accept(index, reply);
        else if (scraps[index]?.isTruncated !== true) {
          scraps[index] = reply;
          // A server that does not answer over TCP has still said something.
          askOverTcp(index, (error) => isResourceExhausted(error) ? fail(error) : accept(index, reply));
        }
      }, fail));
    }
  });
}

/** A socket of its own, and so a port of its own: with the questions' ids that makes forged answers hard (RFC 5452). */
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
  // Connected, Node's socket takes datagrams of this server only, and hears at once when nobody listens there.
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
