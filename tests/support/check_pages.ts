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
function flood(head: string, chunk: string | Buffer): Page {
  return (socket) => {
    const fill = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on("drain", fill).write(head);
    fill();
  };
}

/** Sends `piece` again and again behind `head`, until the client has enough. */
const floodOf = (head: string, piece: Buffer): Page => flood(head, Buffer.concat(Array<Buffer>(4096).fill(piece)));

/** Sends `bytes`, and resets the connection when they have arrived. */
const reset = (bytes: string): Page => (socket) => {
  socket.write(bytes);
  setTimeout(() => socket.resetAndDestroy(), 300);
};

/** Milliseconds that a slow page takes. */
const SLOW = 1000;

/** The answers of the test site, by path. */
export const PAGES: Readonly<Record<string, Page>> = {
  "/fine": send(answer("200 OK", {}, TEXT)),
  // The end of these answers is known, so the client has to close.
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
    // The site sends it back, so that it would show in the page.
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

  "/folded": send(`${OK}X: a\r\n b\r\n\tc\r\nContent-Length: 18\r\n\r\n${TEXT}`),
  "/bare-lf": send(`HTTP/1.1 200 OK\nContent-Length: 18\n\n${TEXT}`),
  "/bare-lf-chunks": send(`HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n12\n${TEXT}\n0\n\n`),
  "/no-reason": send(`HTTP/1.1 200\r\nContent-Length: 18\r\n\r\n${TEXT}`),
  "/blank-lines-first": send(`\r\n\r\n${OK}Content-Length: 18\r\n\r\n${TEXT}`),
  "/blank-behind-size": send(`${OK}Transfer-Encoding: chunked\r\n\r\n12 \r\n${TEXT}\r\n0 \r\n\r\n`),
  "/chunk-extensions": send(`${OK}Transfer-Encoding: chunked\r\n\r\n12;a=b ; c="d"\r\n${TEXT}\r\n0;e\r\n\r\n`),
  "/equal-lengths": send(`${OK}Content-Length: 18, 18\r\nContent-Length: 18\r\n\r\n${TEXT} and more`),
  "/length-and-chunks": send(`${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n${TEXT}\r\n0\r\n\r\n`),
  "/identity": send(`${OK}Transfer-Encoding: identity\r\nContent-Length: 18\r\n\r\n${TEXT} and more`),
  "/gzip-transfer": send(Buffer.concat([
    Buffer.from(`${OK}Transfer-Encoding: gzip, chunked\r\n\r\n${gzipSync(TEXT).length.toString(16)}\r\n`),
    gzipSync(TEXT),
    Buffer.from("\r\n0\r\n\r\n"),
  ])),
  "/one-byte-chunks": send(
    `${OK}Transfer-Encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(MIB - 3)}3\r\nEND\r\n0\r\n\r\n`,
  ),
  "/five-informational": send(
    Buffer.concat([
      Buffer.from("HTTP/1.1 100 Continue\r\nA: b\r\n\r\n".repeat(5)),
      answer("200 OK", {}, TEXT),
    ]),
  ),
  "/head-200k": send(answer("200 OK", { X: "x".repeat(200_000) }, TEXT)),
  "/many-headers": send(`${OK}${"X: y\r\n".repeat(5000)}Content-Length: 18\r\n\r\n${TEXT}`),
  "/until-close": send(`${OK}\r\n${TEXT}`),

  "/until-reset": reset(`${OK}\r\n${TEXT}`),
  "/length-until-reset": reset(`${OK}Content-Length: 100\r\n\r\n${TEXT}`),
  "/no-colon": send(`${OK}Nonsense\r\nContent-Length: 0\r\n\r\n`),
  "/no-name": send(`${OK}: nothing\r\nContent-Length: ${TEXT.length}\r\n\r\n${TEXT}`),
  "/lower-case": send(`http/1.1 200 OK\r\nContent-Length: ${TEXT.length}\r\n\r\n${TEXT}`),
  "/no-blank": send(`HTTP/1.1 200OK\r\nContent-Length: ${TEXT.length}\r\n\r\n${TEXT}`),
  "/chunked-twice": send(
    `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n\r\n12\r\n${TEXT}\r\n0\r\n\r\n`,
  ),
  "/status-42": send("HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n"),
  "/status-4-digits": send("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
  "/http2": send("HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
  "/bad-length": send(`${OK}Content-Length: many\r\n\r\n${TEXT}`),
  "/chunked-inside": send(`${OK}Transfer-Encoding: chunked, gzip\r\n\r\n${TEXT}`),
  "/unknown-transfer": send(`${OK}Transfer-Encoding: rot13\r\n\r\n${TEXT}`),
  "/chunk-too-long": send(`${OK}Transfer-Encoding: chunked\r\n\r\n3\r\n${TEXT}\r\n0\r\n\r\n`),
  "/no-last-line": send(`${OK}Transfer-Encoding: chunked\r\n\r\n12\r\n${TEXT}\r\n0\r\n`),
  "/endless-informational": floodOf("", Buffer.from("HTTP/1.1 100 Continue\r\n\r\n")),
  "/endless-head": floodOf(OK, Buffer.from("X: y\r\n")),
  "/endless-extension": floodOf(`${OK}Transfer-Encoding: chunked\r\n\r\n1;`, Buffer.from("x")),
  "/endless-trailers": floodOf(`${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n`, Buffer.from("X: y\r\n")),
  "/endless-empty-blocks": floodOf(`${OK}Content-Encoding: deflate\r\n\r\n`, Buffer.of(0, 0, 0, 0xff, 0xff)),
  "/endless-empty-members": floodOf(`${OK}Content-Encoding: gzip\r\n\r\n`, gzipSync("")),
  "/empty-frames": encoded("zstd", Buffer.concat(Array<Buffer>(2000).fill(zstdCompressSync("")))),
  "/endless-empty-frames": floodOf(`${OK}Content-Encoding: zstd\r\n\r\n`, zstdCompressSync("")),

  // 9 MiB of nothing in 9 KiB. The output of one coding goes to the next.
  "/empty-blocks-in-gzip": encoded("deflate, gzip", gzipSync(Buffer.alloc(9 * MIB, Buffer.of(0, 0, 0, 0xff, 0xff)))),

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
  "/head-260k": send(answer("200 OK", { X: "x".repeat(263_000) }, TEXT)),
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
  "/zstd-frames": encoded("zstd", Buffer.concat(["All ", "systems", " normal"].map((part) => zstdCompressSync(part)))),
  "/gzip-members": encoded("gzip", Buffer.concat(["All ", "systems", " normal"].map((part) => gzipSync(part)))),
  "/gzip-padded": encoded("gzip", Buffer.concat([gzipSync(TEXT), Buffer.alloc(8)])),
  "/gzip-gzip": encoded("gzip, gzip", gzipSync(gzipSync(TEXT))),
  "/identity-gzip": encoded("identity, gzip", gzipSync(TEXT)),
  "/br-zstd-gzip": encoded("br, zstd, GZIP", gzipSync(zstdCompressSync(brotliCompressSync(TEXT)))),
  "/six-codings": encoded("gzip,gzip,gzip,gzip,gzip,gzip", Buffer.from(TEXT)),
  "/br-begun": encoded("br", brotliCompressSync(TEXT).subarray(0, 5)),
  "/br-cut": encoded("br", brotliCompressSync(TEXT).subarray(0, -1)),
  "/zstd-begun": encoded("zstd", zstdCompressSync(TEXT).subarray(0, 5)),
  "/zstd-cut": encoded("zstd", zstdCompressSync(TEXT).subarray(0, -1)),
  "/zstd-second-cut": encoded("zstd", Buffer.concat([zstdCompressSync(TEXT), zstdCompressSync(TEXT).subarray(0, -2)])),
  "/br-and-more": encoded("br", Buffer.concat([brotliCompressSync(TEXT), Buffer.from("more")])),
  "/gzip-and-more": encoded("gzip", Buffer.concat([gzipSync(TEXT), Buffer.from("more")])),
  "/gzip-bomb": encoded("gzip", gzipSync(Buffer.alloc(64 * MIB))),

  "/utf-16": typed("text/html; charset=utf-16le", Buffer.from("preis: 5 €", "utf16le")),
  "/utf-16be": typed("text/html; charset=UTF-16BE", Buffer.from("\ufeffpreis: 5 €", "utf16le").swap16()),
  "/latin1": typed('text/html; charset="ISO-8859-1"', Buffer.from("grün", "latin1")),
  "/utf-8": typed("text/html", Buffer.from("grün")),
  "/shift-jis": typed("text/html; charset=shift_jis", Buffer.from([0x93, 0xfa, 0x96, 0x7b])),
  "/big5": typed("text/html; charset=big5", Buffer.from([0x88, 0x62, 0xa4, 0x40])),
  "/utf-16-marked": typed("text/html; charset=utf-8", Buffer.from("\ufeffpreis: 5 €", "utf16le")),
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
  "/to-latin1": send(Buffer.from(`HTTP/1.1 302 Found\r\nLocation: /gr\xfcn\r\nContent-Length: 0\r\n\r\n`, "latin1")),
  "/gr%FCn": send(answer("200 OK", {}, TEXT)),
  "/to-nothing": send(answer("302 Found", { Location: "" }, TEXT)),
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
  /** A redirect to the URL in the query. */
  "/to": (socket, { path }) =>
    socket.end(answer("302 Found", { Location: decodeURIComponent(path.split("?")[1] ?? "") })),
};
