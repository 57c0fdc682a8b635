import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Socket } from "node:net";
import type { Certificates, Identity } from "./certificates.ts";
import { answer, openSite } from "./site.ts";

/** A site that misuses TLS. */
export interface TlsFlood extends AsyncDisposable {
  readonly port: number;
}

/** A record of a handshake, in plain text. */
function record(message: Buffer): Buffer {
  const header = Buffer.of(22, 3, 3, 0, 0);
  header.writeUInt16BE(message.length, 3);
  return Buffer.concat([header, message]);
}

/** A server's first message in TLS 1.2 (RFC 5246, section 7.4.1.3), for ECDHE-RSA-AES128-GCM-SHA256. */
const SERVER_HELLO = (() => {
  const extensions = Buffer.of(0xff, 1, 0, 1, 0, 0, 0x17, 0, 0, 0, 0x0b, 0, 2, 1, 0);
  const body = [Buffer.of(3, 3), Buffer.alloc(32, 7), Buffer.of(0, 0xc0, 0x2f, 0, 0, extensions.length), extensions];
  const contents = Buffer.concat(body);
  return Buffer.concat([Buffer.of(2, 0, 0, contents.length), contents]);
})();
/**
 * Messages that ask for a handshake. One is under way, so they mean nothing (RFC 5246, section
 * 7.4.1.1).
 */
const HELLO_REQUESTS = record(Buffer.alloc(16 * 1024));
/**
 * A message of the greatest length, with a byte a record. Its beginning is sent again and again, so
 * that it never ends.
 */
const CRUMBS = Buffer.concat(Array.from({ length: 2_000 }, () => record(Buffer.of(0))));

function flood(socket: Socket, bytes: Buffer): void {
  const fill = () => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", fill);
  fill();
}

/** Sends `first` after the client's hello, and then `rest` for ever. */
const openPlain = async (first: Buffer, rest: Buffer): Promise<TlsFlood> =>
  await openSite(() => {}, {
    onAccept: (socket) =>
      !!socket.once("data", () => {
        socket.write(first);
        flood(socket, rest);
      }),
  });

/**
 * After the handshake `count` session tickets come, and no answer. Node's servers send two tickets.
 * OpenSSL's own server takes the number.
 */
async function openTickets({ key, cert }: Identity, count: number): Promise<TlsFlood> {
  const folder = mkdtempSync(join(tmpdir(), "tickets-"));
  const files = [["key", key], ["cert", cert], ["cert_chain", cert]].map(([name, text]) => {
    const file = join(folder, `${name}.pem`);
    writeFileSync(file, text as string);
    return [`-${name}`, file];
  }).flat();
  const child = spawn("openssl", ["s_server", ...files, "-accept", "127.0.0.1:0", "-num_tickets", String(count)], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const exit = once(child, "exit");
  let port = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    port = Number(/^ACCEPT .*:(\d+)$/.exec(line)?.[1]);
    if (port > 0) break;
  }
  child.stdout.resume();
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exit;
      rmSync(folder, { recursive: true });
    },
  };
}

/** An answer with a record for each byte. */
async function openOneByteRecords(identity: Identity): Promise<TlsFlood> {
  return await openSite((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
    let left = 20_000;
    // Bytes written together would share a record.
    const next = () => void (left-- > 0 && !socket.destroyed && socket.write("x", next));
    next();
  }, { identity });
}

/** Asks for a certificate of one of many authorities. Their names fill 60 KB. */
async function openManyNames(certificates: Certificates): Promise<TlsFlood> {
  return await openSite((socket) => socket.end(answer("200 OK")), {
    identity: certificates.good,
    tls: { requestCert: true, rejectUnauthorized: false, ca: certificates.longNames(30) },
  });
}

/** Sites that send too much TLS, by the kind of the excess. */
export const TLS_FLOODS = {
  "tls-endless-handshake": () => openPlain(record(SERVER_HELLO), HELLO_REQUESTS),
  "tls-handshake-crumbs": () => openPlain(record(Buffer.of(2, 0, 0x4e, 0x20)), CRUMBS),
  "tls-tickets": (certificates) => openTickets(certificates.good, 20_000),
  "tls-one-byte-records": (certificates) => openOneByteRecords(certificates.good),
  "tls-many-certificates": (certificates) => openSite(() => {}, { identity: certificates.long(400) }),
  "tls-many-names": (certificates) => openManyNames(certificates),
  "tls-rsa-16384": (certificates) => openSite(() => {}, { identity: certificates.hugeRsa(16384, "usual", 1) }),
  "tls-huge-exponents": (certificates) => openSite(() => {}, { identity: certificates.hugeRsa(3072, "huge", 30) }),
} as const satisfies Readonly<Record<string, (certificates: Certificates) => Promise<TlsFlood>>>;
