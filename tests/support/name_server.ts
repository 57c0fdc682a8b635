import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, isIPv4, type Server, type Socket } from "node:net";
import { once } from "node:events";

export type RecordType = "A" | "AAAA";

/** The server's answer about a name. */
export interface Answer {
  /** 0: no error, 2: SERVFAIL, 3: no such name. */
  readonly code?: number;
  readonly addresses?: readonly string[];
  /** An alias in front of the addresses. */
  readonly alias?: string;
  /** Over UDP: the answer ends after so many addresses, and says that there are more. */
  readonly isTruncated?: boolean;
  readonly inDatagram?: number;
  /** Says over TCP too that there are more, though there are none. */
  readonly isMarked?: boolean;
  /** Closes a TCP connection without an answer. */
  readonly closes?: boolean;
  /** Sends these bytes first, over UDP, as a stranger might do. */
  readonly before?: readonly ((query: Buffer) => Buffer)[];
  /** Sends an answer with these addresses first, over UDP, from this port of 127.0.0.2. */
  readonly forged?: readonly string[];
  /** Changes the answer before it is sent. */
  readonly changed?: (answer: Buffer) => Buffer;
}

/** Answers a question, as late as it wants to. Null: never. */
export type Zone = (name: string, type: RecordType, isTcp: boolean) => Answer | null | Promise<Answer | null>;

/** A name server on a loopback address, over UDP and TCP. */
export interface NameServer extends AsyncDisposable {
  readonly port: number;
  /** Each question as `name type`. Over TCP, ` tcp` follows. */
  readonly questions: readonly string[];
}

const HEADER_BYTES = 12;
const CLOSE = Buffer.alloc(0);
const same = (answer: Buffer) => answer;

export async function openNameServer(zone: Zone, address = "127.0.0.1", port = 0): Promise<NameServer> {
  const questions: string[] = [];
  const reply = async (query: Buffer, isTcp: boolean, forge: (bytes: Buffer) => Promise<void>): Promise<Buffer[]> => {
    const { name, type } = questionOf(query);
    questions.push(`${name} ${type}${isTcp ? " tcp" : ""}`);
    const answer = await zone(name, type, isTcp);
    if (answer === null) return [];
    if (isTcp && answer.closes) return [CLOSE];
    if (answer.forged !== undefined) await forge(encode(query, { addresses: answer.forged }, isTcp));
    return [
      ...(answer.before ?? []).map((make) => make(query)),
      (answer.changed ?? same)(encode(query, answer, isTcp)),
    ];
  };
  const { udp, tcp } = await bind(address, port);
  udp.on("message", async (query, { port, address }) => {
    // The client may be gone by now.
    const forge = (bytes: Buffer) => sendFrom("127.0.0.2", udp.address().port, bytes, port, address);
    for (const bytes of await reply(query, false, forge)) udp.send(bytes, port, address, () => {});
  });
  const sockets = new Set<Socket>();
  tcp.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.on("data", async (chunk) => {
      for (const bytes of await reply(chunk.subarray(2), true, async () => {})) {
        if (bytes === CLOSE) return void socket.end();
        const length = Buffer.from([bytes.length >> 8, bytes.length & 0xff]);
        // Sends it in pieces, as a network may bring it.
        socket.write(length.subarray(0, 1));
        socket.write(Buffer.concat([length.subarray(1), bytes]));
      }
    });
  });
  return {
    port: udp.address().port,
    questions,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => udp.close(() => tcp.close(() => resolve())));
    },
  };
}

/** Both use the same port. A port that is free for one protocol may be in use for the other. */
async function bind(address: string, port: number): Promise<{ udp: UdpSocket; tcp: Server }> {
  const udp = createSocket(isIPv4(address) ? "udp4" : "udp6");
  udp.bind(port, address);
  await once(udp, "listening");
  const tcp = createServer().listen(udp.address().port, address);
  try {
    await once(tcp, "listening");
    return { udp, tcp };
  } catch (error) {
    udp.close();
    if (port !== 0) throw error;
    return await bind(address, port);
  }
}

async function sendFrom(from: string, fromPort: number, bytes: Buffer, port: number, address: string): Promise<void> {
  const socket = createSocket("udp4");
  socket.bind(fromPort, from);
  await once(socket, "listening");
  await new Promise<void>((resolve) => socket.send(bytes, port, address, () => resolve()));
  socket.close();
}

function questionOf(query: Buffer): { name: string; type: RecordType } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1) === 1 ? "A" : "AAAA" };
}

function encode(
  query: Buffer,
  { code = 0, addresses = [], alias, isTruncated = false, inDatagram = 0, isMarked = false }: Answer,
  isTcp: boolean,
): Buffer {
  const isCut = isTruncated && !isTcp;
  const wanted = questionOf(query).type;
  const records = [
    ...(alias === undefined || isCut ? [] : [record(5, nameBytes(alias))]),
    ...addresses.slice(0, isCut ? inDatagram : undefined).filter((address) => isIPv4(address) === (wanted === "A")).map(
      (address) =>
        isIPv4(address) ? record(1, Buffer.from(address.split(".").map(Number))) : record(28, ipv6Bytes(address)),
    ),
  ];
  const head = Buffer.alloc(HEADER_BYTES);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (isCut || isMarked ? 0x0200 : 0) | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, query.subarray(HEADER_BYTES), ...records]);
}

/** A record of the name in the question. It names it by a pointer. */
function record(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0xc0, HEADER_BYTES, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]), data]);
}

function nameBytes(name: string): Buffer {
  return Buffer.concat([
    ...name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]),
    Buffer.from([0]),
  ]);
}

function ipv6Bytes(address: string): Buffer {
  const [before = "", after = ""] = address.split("::").map((part) => part.split(":").filter((group) => group !== ""))
    .map((groups) => groups.map((group) => group.padStart(4, "0")).join(""));
  return Buffer.from(before.padEnd(32 - after.length, "0") + after, "hex");
}
