import type { Socket } from "node:net";

/**
 * The fields of the server's error by which a failure is judged, under the names that postgres.js
 * gives them.
 */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ["S", "severity_local"],
  ["V", "severity"],
  ["C", "code"],
  ["M", "message"],
  ["D", "detail"],
  ["R", "routine"],
]);

const ERROR_RESPONSE = "E".charCodeAt(0);

/**
 * Remembers the last data on a socket. A server or pooler that hangs up in the midst of a statement
 * says why before. postgres.js waits for more, and then tells only that the connection is gone. The
 * function gives that last error, or null.
 */
export function followLastWords(socket: Socket): () => Error | null {
  let last: Buffer | null = null;
  socket.on("data", (chunk: Buffer) => last = chunk);
  return () => last === null ? null : readLastError(last);
}

/**
 * The error at the end of whole messages; null if there is none, or if messages were cut into
 * pieces.
 */
export function readLastError(chunk: Buffer): Error | null {
  let start = 0;
  while (start + 5 <= chunk.length) {
    const end = start + 1 + chunk.readUInt32BE(start + 1);
    if (end === chunk.length) return chunk[start] === ERROR_RESPONSE ? toError(chunk.subarray(start + 5)) : null;
    start = end;
  }
  return null;
}

/** Reads an ErrorResponse: for each field a letter, and a text that ends in zero. */
function toError(fields: Buffer): Error | null {
  const read = fields.toString("utf8").split("\0").filter((field) => field !== "");
  const found = new Map(read.map((field) => [FIELDS.get(field.charAt(0)), field.slice(1)] as const));
  const message = found.get("message");
  if (message === undefined || !found.has("code")) return null;
  found.delete(undefined);
  return Object.assign(new Error(message), Object.fromEntries(found));
}

const AUTHENTICATION = "R".charCodeAt(0);
const SASL = 10;

/**
 * Calls `then` if the server's first question is for SASL, whose passwords are prepared.
 * postgres.js does not tell which question it was.
 */
export function whenAskedForSasl(socket: Socket, then: () => void): void {
  socket.once("data", (bytes: Buffer) => {
    // A message about an older protocol may stand before it.
    for (let at = 0; at + 9 <= bytes.length; at += 1 + bytes.readUInt32BE(at + 1)) {
      if (bytes[at] !== AUTHENTICATION) continue;
      if (bytes.readUInt32BE(at + 5) === SASL) then();
      return;
    }
  });
}
