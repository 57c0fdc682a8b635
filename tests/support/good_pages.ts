import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { Page } from "./site.ts";

/** How a site ends a connection, once the last byte of a page is sent. */
export const BEHIND_THE_PAGE = {
  "stays open": (socket: Socket, bytes: Buffer) => void socket.write(bytes),
  "ends": (socket: Socket, bytes: Buffer) => void socket.end(bytes),
  // Closes both directions as soon as the last byte is on its way.
  "closes at once": (socket: Socket, bytes: Buffer) => {
    socket.write(bytes);
    socket.destroySoon();
  },
} as const;

/**
 * Digests, which hardly pack. In any coding a page of 400 KiB has some 270 KiB or more on its way.
 */
const LINES = Array.from(
  { length: 7500 },
  (_, line) => `<p>${createHash("sha256").update(String(line)).digest("base64")}</p>\n`,
);
const BODY = Buffer.from(`${LINES.join("")}THE END`);

/** The SHA-256 of the body of each page, in hexadecimal digits. */
export const GOOD_BODY = createHash("sha256").update(BODY).digest("hex");

const CODED: Readonly<Record<string, Buffer>> = {
  identity: BODY,
  gzip: gzipSync(BODY),
  br: brotliCompressSync(BODY),
  zstd: zstdCompressSync(BODY),
};

const FRAMED: Readonly<Record<string, (bytes: Buffer) => readonly [header: string, framed: Buffer]>> = {
  length: (bytes) => [`Content-Length: ${bytes.length}\r\n`, bytes],
  chunks: (bytes) => ["Transfer-Encoding: chunked\r\n", chunked(bytes)],
  close: (bytes) => ["", bytes],
};

/** A path for each coding and framing of the page. */
export const GOOD_PATHS = Object.keys(CODED).flatMap((coding) => Object.keys(FRAMED).map((how) => `/${coding}/${how}`));

/** The pages of GOOD_PATHS. Two informational answers come before each of them. */
export function goodPage(behind: keyof typeof BEHIND_THE_PAGE): Page {
  return (socket, { path }) => {
    const [, coding = "", how = ""] = path.split("/");
    const [header, framed] = FRAMED[how]?.(CODED[coding] ?? BODY) ?? ["", BODY];
    const head = `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n${header}` +
      (coding === "identity" ? "" : `Content-Encoding: ${coding}\r\n`);
    // Such a page ends only with its connection.
    const send = BEHIND_THE_PAGE[how === "close" && behind === "stays open" ? "ends" : behind];
    send(socket, Buffer.concat([Buffer.from(`${head}\r\n`), framed]));
  };
}

/** Chunks of many lengths, as from servers that flush now and then. */
function chunked(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0, length = 1; at < bytes.length; at += length, length = (length * 7) % 20_011) {
    const part = bytes.subarray(at, at + length);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}
