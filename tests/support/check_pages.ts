import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { answer } from "./site.ts";
import type { Page } from "./site.ts";

export const MIB = 1024 * 1024;

const TEXT = "All systems normal";
const OK = "HTTP/1.1 200 OK\r\n";

/** Sends `bytes` and closes. */
const send = (bytes: string | Buffer): Page => (socket) => socket.end(bytes);
/** Sends `bytes` and keeps the connection open. */
const hold = (bytes: string | Buffer): Page => (socket) => socket.write(bytes);
const encoded = (encoding: string, body: Uint8Array) => send(answer("200 OK", { "Content-Encoding": encoding }, body));
const typed = (type: string, body: Uint8Array) => send(answer("200 OK", { "Content-Type": type }, body));
const to = (location: string, status = "302 Found") => send(answer(status, { Location: location }, "elsewhere"));
/** A body of `size` bytes that ends in END. */
const sized = (size: number) => `${"x".repeat(size - 3)}END`;

/** Sends `chunk` after every `milliseconds`, for ever. */
function trickle(head: string, chunk: string, milliseconds: number): Page {
  return (socket) => {
    socket.write(head);
    const timer = setInterval(() => socket.write(chunk), milliseconds);
    socket.on("close", () => clearInterval(timer));
  };
}

/** Sends `chunk` as fast as it is read, for ever. */
function flood(head: string, chunk: string): Page {
  return (socket) => {
    const fill = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on("drain", fill).write(head);
    fill();
  };
}

/** Milliseconds that a slow page takes. */
const SLOW = 1000;

/** What the test site answers, by path. */
export const PAGES: Readonly<Record<string, Page>> = {
  "/fine": send(answer("200 OK", {}, TEXT)),
  // Sent with an answer's end known: the client has to close.
  "/held-open": hold(answer("200 OK", {}, TEXT)),
  "/204": hold("HTTP/1.1 204 No Content\r\n\r\n"),
  "/304": hold("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
  "/404": send(answer("404 Not Found", {}, "nothing here")),
  "/500": send(answer("500 Internal Server Error", {}, TEXT)),
  "/599": send(answer("599 Late", {}, TEXT)),
  "/999": send(answer("999 Odd", {}, TEXT)),
  "/empty": send(answer("200 OK")),
  "/chunked": send(`${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nAll \r\n7\r\nsystems\r\n7\r\n normal\r\n0\r\n\r\n`),
  "/http1.0": send(`HTTP/1.0 200 OK\r\n\r\n${TEXT}`),
  "/100-continue": send(Buffer.concat([Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"), answer("200 OK", {}, TEXT)])),
  "/trailers": send(
    `${OK}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n12\r\n${TEXT}\r\n0\r\nX-Sum: 1\r\n\r\n`,
  ),
  "/a%20b%2Fc%C3%BC": send(answer("200 OK", {}, TEXT)),
  "/cookie": (socket, { headers }) => {
    // Sent back, it would show in the page.
    const location = `http://${headers.host}/cookies`;
    socket.end(answer("302 Found", { Location: location, "Set-Cookie": "a=b; Path=/" }));
  },
  "/cookies": (socket, { headers }) => socket.end(answer("200 OK", {}, `cookies: ${headers.cookie ?? "none"}`)),
  "/late": (socket) => void setTimeout(() => socket.end(answer("200 OK", {}, TEXT)), SLOW),
  "/slow-body": (socket) => {
    socket.write(`${OK}Content-Length: ${TEXT.length}\r\n\r\nAll `);
    setTimeout(() => socket.end("systems normal"), SLOW);
  },
  "/early-hints": send(
    Buffer.concat([Buffer.from("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), answer("200 OK", {}, TEXT)]),
  ),
  "/too-much": send(`${OK}Content-Length: 18\r\n\r\n${TEXT} and more`),
  "/head-64k": send(answer("200 OK", { X: "x".repeat(64_000) }, TEXT)),
  "/bad-header-name": send(`${OK}Ba d: x\r\nContent-Length: 0\r\n\r\n`),
  "/bad-header-value": send(`${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`),
  "/header-latin1": send(Buffer.from(`${OK}X: gr\xfcn\r\nContent-Length: 18\r\n\r\n${TEXT}`, "latin1")),

  "/silent": () => {},
  "/closes": (socket) => socket.destroy(),
  "/resets": (socket) => socket.resetAndDestroy(),
  "/half-head": send("HTTP/1.1 200 OK\r\nContent-"),
  "/half-head-held": hold("HTTP/1.1 200 OK\r\nContent-"),
  "/half-body": send(`${OK}Content-Length: 100\r\n\r\n${TEXT}`),
  "/half-body-held": hold(`${OK}Content-Length: 100\r\n\r\n${TEXT}`),
  "/half-chunked": send(`${OK}Transfer-Encoding: chunked\r\n\r\n12\r\n${TEXT}\r\n`),
  "/bad-chunk": send(`${OK}Transfer-Encoding: chunked\r\n\r\nzz\r\n${TEXT}\r\n0\r\n\r\n`),
  "/not-http": send("220 mail.example ESMTP\r\n"),
  "/two-lengths": send(`${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`),
  "/head-70k": send(answer("200 OK", { X: "x".repeat(70_000) }, TEXT)),
  "/upgrade": hold("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
  "/upgrade-bare": hold("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
  "/byte-a-time": trickle(`${OK}Content-Length: 100000\r\n\r\n`, "x", 100),
  "/header-a-time": trickle(OK, "X: y\r\n", 100),

  "/gzip": encoded("gzip", gzipSync(TEXT)),
  "/x-gzip": encoded("X-GZip", gzipSync(TEXT)),
  "/deflate": encoded("deflate", deflateSync(TEXT)),
  "/deflate-raw": encoded("deflate", deflateRawSync(TEXT)),
  "/br": encoded("br", brotliCompressSync(TEXT)),
  "/zstd": encoded("zstd", zstdCompressSync(TEXT)),
  "/other-encoding": encoded("rot13", Buffer.from(TEXT)),
  "/gzip-empty": encoded("gzip", Buffer.alloc(0)),
  "/not-gzip": encoded("gzip", Buffer.from(TEXT)),
  "/not-br": encoded("br", Buffer.from(TEXT)),
  "/not-zstd": encoded("zstd", Buffer.from(TEXT)),
  "/gzip-cut": encoded("gzip", gzipSync(TEXT).subarray(0, -9)),
  "/gzip-broken-off": send(`${OK}Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n`),
  "/gzip-bomb": encoded("gzip", gzipSync(Buffer.alloc(64 * MIB))),

  "/utf-16": typed("text/html; charset=utf-16le", Buffer.from("preis: 5 €", "utf16le")),
  "/utf-16be": typed("text/html; charset=UTF-16BE", Buffer.from("\ufeffpreis: 5 €", "utf16le").swap16()),
  "/latin1": typed('text/html; charset="ISO-8859-1"', Buffer.from("grün", "latin1")),
  "/utf-8": typed("text/html", Buffer.from("grün")),
  "/other-charset": typed("text/html; charset=klingon", Buffer.from("grün")),
  "/not-utf-8": typed("text/html; charset=utf-8", Buffer.from("gr\xfcn is normal", "latin1")),

  "/under-cap": send(answer("200 OK", {}, sized(MIB - 1))),
  "/at-cap": send(answer("200 OK", {}, sized(MIB))),
  "/over-cap": send(answer("200 OK", {}, sized(MIB + 1))),
  "/gzip-at-cap": encoded("gzip", gzipSync(sized(MIB))),
  "/gzip-over-cap": encoded("gzip", gzipSync(sized(MIB + 1))),
  "/br-bomb": encoded(
    "br",
    brotliCompressSync(Buffer.alloc(64 * MIB), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  ),
  "/zstd-bomb": encoded("zstd", zstdCompressSync(Buffer.alloc(64 * MIB))),
  "/endless": flood(`${OK}\r\n`, "x".repeat(65_536)),

  "/to-fine": to("/fine"),
  "/to-relative": to("fine?a=b#c"),
  "/": send(answer("200 OK", {}, TEXT)),
  "/to-no-path": (socket, { headers }) => socket.end(answer("302 Found", { Location: `http://${headers.host}` })),
  "/to-query": (socket, { path }) =>
    socket.end(path.endsWith("?a=b") ? answer("200 OK", {}, TEXT) : answer("302 Found", { Location: "?a=b" })),
  "/to-non-ascii": to("/grün"),
  "/gr%C3%BCn": send(answer("200 OK", {}, TEXT)),
  "/to-double-slash": (socket, { headers }) => socket.end(answer("301 Moved", { Location: `//${headers.host}/fine` })),
  "/to-308": to("/fine", "308 Permanent Redirect"),
  "/to-300": to("/fine", "300 Multiple Choices"),
  "/302-nowhere": send(answer("302 Found", {}, TEXT)),
  "/to-held-open": hold(answer("302 Found", { Location: "/fine" }, "elsewhere")),
  "/loop": to("/loop"),
  "/hops/0": send(answer("200 OK", {}, TEXT)),
  ...Object.fromEntries(Array.from({ length: 11 }, (_, left) => [`/hops/${left + 1}`, to(`/hops/${left}`)])),
  "/to-mail": to("mailto:user:secret@example.com"),
  "/to-bad": to("http://user:secret@[/"),
  "/to-credentials": (socket, { headers }) =>
    socket.end(answer("302 Found", { Location: `http://user:secret@${headers.host}/fine` })),
  /** To what the query says. */
  "/to": (socket, { path }) =>
    socket.end(answer("302 Found", { Location: decodeURIComponent(path.split("?")[1] ?? "") })),
};
