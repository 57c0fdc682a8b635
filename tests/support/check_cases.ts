import { type Phase, PHASES } from "../../lib/check/timings.ts";
import type { Metric } from "../../lib/metric.ts";
import type { Runtime } from "./programs.ts";

/**
 * The places of one run of the cases: `host:port`, by the speciality of each. Names end in .test
 * and have a name server of their own.
 */
export type World = Readonly<
  Record<
    | "http"
    | "ipv6"
    | "otherOrigin"
    | "refused"
    | "closesAtOnce"
    | "speaksFirst"
    | "speaksPlainly"
    | "tls"
    | "tlsWithRoot"
    | "tlsWithoutIntermediate"
    | "tlsExpired"
    | "tlsNotYetValid"
    | "tlsOtherName"
    | "tlsSelfSigned"
    | "tlsNamed"
    | "tlsSlow"
    | "tlsNoNames"
    | "tlsAddressAsName"
    | "tlsVersionOne"
    | "tlsSha1"
    | "tlsSha1Intermediate"
    | "tlsShortIntermediate"
    | "tlsForClients"
    | "tlsForSigning"
    | "tlsMailIntermediate"
    | "tlsNoAuthority"
    | "tlsOutsideConstraints"
    | "tlsStrangeExtension"
    | "tlsExpiredIntermediate"
    | "tlsBelowOldRoot"
    | "tlsAuthorityAsServer"
    | "tlsTrustedSelf"
    | "tlsTrustedAuthority"
    | "tlsRenewedIntermediate"
    | "tlsLeftover"
    | "tlsRsa"
    | "tlsWildcard"
    | "tlsWildTop"
    | "tlsWildPart"
    | "tlsManyCertificates"
    | "tlsEnoughCertificates"
    | "tlsEndlessCertificates"
    | "tlsShortKey"
    | "tlsSilent"
    | "dualStack"
    | "deaf"
    | "lateAccept",
    string
  >
>;

/** One check, and its expected outcome. */
export interface Case {
  /** The DOMAIN, as in a hosts file. */
  readonly url: (world: World) => string;
  readonly pattern?: string;
  readonly timeout?: number;
  /** Addresses that must not be dialed. "private": those of --block-private-addresses. */
  readonly blocked?: "private" | readonly string[];
  readonly status: number | null;
  readonly isValid: boolean;
  readonly error: Metric["error"];
  /** The exact text, with the places of the run inserted. */
  readonly detail?: string | ((world: World, runtime: Runtime) => string);
  /** The phases that have a time, as `dns connect …`. */
  readonly phases: string;
  /** The phase in which the host is known to be slow. */
  readonly slow?: Phase;
}

const DNS = "dns";
const CONNECT = "dns connect";
const FIRST = "dns connect first_byte";
const ALL = "dns connect first_byte body";
const TLS = "dns connect tls";
const TLS_ALL = "dns connect tls first_byte body";
type Rest = Partial<Pick<Case, "pattern" | "timeout" | "blocked" | "detail" | "phases">>;

/** The login of a check. No part of it may appear anywhere. */
export const USER = "me:hidden%3Aword";
/** The port of a place. */
const portOf = (place: string) => place.slice(place.lastIndexOf(":") + 1);
/** The page of a name on the HTTP site. */
const named = (name: string, path = "/fine") => (world: World) => `http://${name}:${portOf(world.http)}${path}`;
const to = (target: string) => `/to?${encodeURIComponent(target)}`;
const page = (path: string) => (world: World) => `http://${world.http}${path}`;
const up = (status: number, path: string, pattern?: string): Case => ({
  ...{ url: page(path), status, isValid: true, error: null, phases: ALL },
  ...(pattern === undefined ? {} : { pattern }),
});
const miss = (status: number, path: string, pattern: string): Case => ({
  ...up(status, path, pattern),
  isValid: false,
});
const bad = (
  error: Metric["error"],
  status: number | null,
  url: Case["url"] | string,
  detail: Case["detail"],
  rest: Rest = {},
) => ({
  ...{ url: typeof url === "string" ? page(url) : url, status, isValid: false, error, phases: ALL },
  ...(detail === undefined ? {} : { detail }),
  ...rest,
} as Case);
const refusedTls = (place: keyof World, detail: Case["detail"]) =>
  bad("tls", null, (world) => `https://${world[place]}/fine`, detail, { phases: TLS });

const fineTls = (place: keyof World): Case => ({
  ...up(200, ""),
  url: (world) => `https://${world[place]}/fine`,
  phases: TLS_ALL,
});
/** A site, and whether its certificate is for a given name of the tests' own name server. */
const fineTlsAt = (name: string, place: keyof World): Case => ({
  ...fineTls(place),
  url: (world) => `https://${name}:${portOf(world[place])}/fine`,
});
const misnamed = (name: string, place: keyof World, names: string) =>
  bad(
    "tls",
    null,
    (world) => `https://${name}:${portOf(world[place])}/fine`,
    `certificate is not for ${name} (it is for ${names})`,
    { phases: TLS },
  );
/** Deno ends the handshake, and shows no certificate. */
const DENO_UNREADABLE =
  "certificate cannot be used by Deno's TLS: its key is none of RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519, " +
  "or it has a critical extension that is not known";
const NO_NAMES = "certificate has no DNS name and no IP address (a common name does not count)";
const NOT_FOR_SERVERS = "is not for servers (its extended key usage has no serverAuth)";

const blocked = (address: string) => `${address} is a private address, and --block-private-addresses is on`;

const CUT = "connection was closed within the body";
const RESET = "connection was reset within the body";
const TOO_MUCH = "the answer has more than 8 MiB on its way";
const LATE_READ = "no whole answer within 2 s (while reading it)";

/** Every kind of host, by name. */
export const CASES: Readonly<Record<string, Case>> = {
  "a fine page": up(200, "/fine", "systems? normal"),
  "a page that does not match": miss(200, "/fine", "sold out"),
  "a whole answer on a connection that stays open": up(200, "/held-open", "normal"),
  "204": up(204, "/204"),
  "204 with a pattern": miss(204, "/204", "normal"),
  "304": up(304, "/304"),
  "404": up(404, "/404"),
  "500 whose body matches": up(500, "/500", "normal"),
  "599": up(599, "/599", "normal"),
  "an odd status": up(999, "/999"),
  "an empty body and a pattern that matches it": up(200, "/empty", "^$"),
  "chunks": up(200, "/chunked", "^All systems normal$"),
  "chunks with trailers": up(200, "/trailers", "^All systems normal$"),
  "100 Continue before the answer": up(200, "/100-continue", "normal"),
  "HTTP/1.0 without a length": up(200, "/http1.0", "normal$"),
  "early hints before the answer": up(200, "/early-hints", "normal"),
  "more bytes than were announced": up(200, "/too-much", "normal$"),
  "folded headers": up(200, "/folded", "^All systems normal$"),
  "lines that end with LF alone": up(200, "/bare-lf", "^All systems normal$"),
  "chunks whose lines end with LF alone": up(200, "/bare-lf-chunks", "^All systems normal$"),
  "a status without a reason": up(200, "/no-reason", "^All systems normal$"),
  "a status that its reason follows at once": up(200, "/no-blank", "^All systems normal$"),
  "HTTP in lower case": up(200, "/lower-case", "^All systems normal$"),
  "a header without a name": up(200, "/no-name", "^All systems normal$"),
  "a transfer coding that is named twice": up(200, "/chunked-twice", "^All systems normal$"),
  "empty lines before the answer": up(200, "/blank-lines-first", "^All systems normal$"),
  "a blank behind a chunk's size": up(200, "/blank-behind-size", "^All systems normal$"),
  "chunks with extensions": up(200, "/chunk-extensions", "^All systems normal$"),
  "the same length three times": up(200, "/equal-lengths", "^All systems normal$"),
  "chunks beside a length": up(200, "/length-and-chunks", "^All systems normal$"),
  "a transfer coding that is none": up(200, "/identity", "^All systems normal$"),
  "gzip as a transfer coding": up(200, "/gzip-transfer", "^All systems normal$"),
  "1 MiB in chunks of one byte": up(200, "/one-byte-chunks", "xEND$"),
  "100 Continue five times": up(200, "/five-informational", "^All systems normal$"),
  "200 KB of headers": up(200, "/head-200k", "^All systems normal$"),
  "5,000 headers": up(200, "/many-headers", "^All systems normal$"),
  "a body that ends with the connection": up(200, "/until-close", "^All systems normal$"),
  "64 KB of headers": up(200, "/head-64k", "normal"),
  "a header in Latin-1": up(200, "/header-latin1", "normal"),
  "an IPv6 address": { ...up(200, "/fine"), url: (world) => `http://${world.ipv6}/fine` },
  "a path with a query and a fragment": up(200, "/fine?a=b#prices"),
  "a percent-encoded path": up(200, "/a%20b%2Fc%C3%BC", "normal"),
  "an upper-case scheme": { ...up(200, ""), url: ({ http }) => `HTTP://${http}/fine?upper-case` },

  "a refused port": bad(
    "connect",
    null,
    (world) => `http://${world.refused}/`,
    (world) => `${world.refused}: connection refused`,
    {
      phases: CONNECT,
    },
  ),
  "a refused port by name": bad(
    "connect",
    null,
    (world) => `https://${world.refused.replace("127.0.0.1", "localhost")}/`,
    (world) => `${world.refused}: connection refused`,
    { phases: CONNECT },
  ),
  "an unknown name": bad("dns", null, () => "http://nobody.invalid/", "nobody.invalid: no such name", { phases: DNS }),
  "an unknown name of a known zone": bad("dns", null, named("gone.test"), "gone.test: no such name", { phases: DNS }),
  "a name without an address": bad("dns", null, named("mail-only.test"), "mail-only.test: the name has no address", {
    phases: DNS,
  }),
  "a name whose server fails": bad(
    "dns",
    null,
    named("broken.test"),
    "broken.test: the name server failed (SERVFAIL)",
    { phases: DNS },
  ),
  "a name whose server does not answer": bad(
    "timeout",
    null,
    named("silent.test"),
    "no answer within 2 s (while resolving the name)",
    { timeout: 2, phases: DNS },
  ),
  "a port that drops connections": bad(
    "timeout",
    null,
    (world) => `http://${world.deaf}/`,
    "no answer within 2 s (while connecting)",
    { timeout: 2, phases: CONNECT },
  ),
  "a name": { ...up(200, ""), url: named("named.test") },
  "a name in upper case": { ...up(200, ""), url: named("NAMED.test") },
  "a name with a dot at its end": { ...up(200, ""), url: named("named.test.") },
  "an alias": { ...up(200, ""), url: named("alias.test") },
  "a name with more addresses than a datagram holds": { ...up(200, ""), url: named("many.test") },
  "a name of this machine's own": { ...up(200, ""), url: named("listed.test") },
  "a name of the domain that is searched": { ...up(200, ""), url: named("short") },
  "a name whose server is silent on IPv6": { ...up(200, ""), url: named("v4-only.test") },
  "a name with umlauts": { ...up(200, ""), url: named("münchen.test") },
  "a dead IPv6 address beside a live IPv4 one": {
    ...up(200, "", "normal"),
    url: (world) => `http://dual.test:${portOf(world.dualStack)}/fine`,
  },

  "a slow name server": { ...up(200, ""), url: named("slow.test"), slow: "dns" },
  "a late accept": {
    ...up(200, ""),
    url: (world) => `http://late-accept.test:${portOf(world.lateAccept)}/`,
    slow: "connect",
  },
  "a slow handshake": {
    ...up(200, ""),
    url: (world) => `https://${world.tlsSlow}/fine`,
    phases: TLS_ALL,
    slow: "tls",
  },
  "a late first byte": { ...up(200, "/late", "normal"), slow: "first_byte" },
  "a slow body": { ...up(200, "/slow-body", "^All systems normal$"), slow: "body" },
  "a slow name server before a silent host": {
    ...bad("timeout", null, named("slow.test", "/silent"), "no answer within 2 s (while waiting for the first byte)", {
      ...{ timeout: 2, phases: FIRST },
    }),
    slow: "dns",
  },

  "closed at once": bad(
    "protocol",
    null,
    (world) => `http://${world.closesAtOnce}/`,
    "connection was closed without an answer",
    { phases: FIRST },
  ),
  "another protocol that speaks first": bad(
    "protocol",
    null,
    (world) => `http://${world.speaksFirst}/`,
    "the answer is not HTTP: it does not begin with HTTP/",
  ),
  "closed without an answer": bad("protocol", null, "/closes", "connection was closed without an answer", {
    phases: FIRST,
  }),
  "reset without an answer": bad("protocol", null, "/resets", "connection was reset without an answer", {
    phases: FIRST,
  }),
  "half a header": bad("protocol", null, "/half-head", "connection was closed within the answer's headers"),
  "no HTTP": bad("protocol", null, "/not-http", "the answer is not HTTP: it does not begin with HTTP/"),
  "two lengths": bad("protocol", null, "/two-lengths", "the answer has two Content-Lengths that differ"),
  "a header whose name holds a blank": up(200, "/bad-header-name"),
  "a header with a zero byte": bad(
    "protocol",
    null,
    "/bad-header-value",
    "a header of the answer holds a zero byte",
  ),
  "a header without a colon": bad(
    "protocol",
    null,
    "/no-colon",
    "a header line of the answer has no name with a colon",
  ),
  "a status below 100": bad("protocol", null, "/status-42", "the answer's status is 042, which is none"),
  "a status of four digits": bad(
    "protocol",
    null,
    "/status-4-digits",
    "the answer is not HTTP: its first line has no status of three digits",
  ),
  "HTTP/2 that nobody asked for": bad(
    "protocol",
    null,
    "/http2",
    "the answer is not HTTP: it is of another version than 1.0 or 1.1",
  ),
  "a length that is no number": bad("protocol", null, "/bad-length", "the answer's Content-Length is no number"),
  "chunks within another coding": bad(
    "protocol",
    null,
    "/chunked-inside",
    "the answer's Transfer-Encoding does not end with chunked",
  ),
  "260 KB of headers": bad("protocol", null, "/head-260k", "the answer's headers are longer than 256 KiB"),
  "headers as fast as they are read": bad(
    "protocol",
    null,
    "/endless-head",
    "the answer's headers are longer than 256 KiB",
  ),
  "100 Continue without end": bad(
    "protocol",
    null,
    "/endless-informational",
    "more than 5 informational answers (1xx) came before the answer",
  ),
  "an upgrade": bad("protocol", null, "/upgrade", "the answer is 101 Switching Protocols, which nobody asked for"),
  "an upgrade to nothing": bad(
    "protocol",
    null,
    "/upgrade-bare",
    "the answer is 101 Switching Protocols, which nobody asked for",
  ),

  "never an answer": bad("timeout", null, "/silent", "no answer within 2 s (while waiting for the first byte)", {
    ...{ timeout: 2, phases: FIRST },
  }),
  "half a header and no end": bad("timeout", null, "/half-head-held", LATE_READ, { timeout: 2 }),
  "headers without end": bad("timeout", null, "/header-a-time", LATE_READ, { timeout: 2 }),
  "half a body and no end": bad("timeout", 200, "/half-body-held", LATE_READ, { timeout: 2, pattern: "normal" }),
  "a byte at a time": bad("timeout", 200, "/byte-a-time", LATE_READ, { timeout: 2 }),
  "no TLS handshake": bad(
    "timeout",
    null,
    (world) => `https://${world.tlsSilent}/`,
    "no answer within 2 s (during the TLS handshake)",
    { timeout: 2, phases: TLS },
  ),

  "half a body": bad("body", 200, "/half-body", CUT),
  "half a body that would match": bad("body", 200, "/half-body", CUT, { pattern: "normal" }),
  "chunks that break off": bad("body", 200, "/half-chunked", CUT, { pattern: "normal" }),
  "a bad chunk": bad("body", 200, "/bad-chunk", "bad chunk size", { pattern: "normal" }),
  "a chunk longer than it says": bad(
    "body",
    200,
    "/chunk-too-long",
    "a chunk does not end where its size says",
  ),
  "chunks without their last line": bad("body", 200, "/no-last-line", CUT),
  "a body without a length that is reset": bad("body", 200, "/until-reset", RESET),
  "a body with a length that is reset": bad("body", 200, "/length-until-reset", RESET),
  "a body without a length that is reset, over TLS": bad(
    "body",
    200,
    (world) => `https://${world.tls}/until-reset`,
    RESET,
    { phases: TLS_ALL },
  ),
  "reset without an answer, over TLS": bad(
    "protocol",
    null,
    (world) => `https://${world.tls}/resets`,
    "connection was reset without an answer",
    { phases: `${TLS} first_byte` },
  ),
  "an unknown transfer coding": bad("body", 200, "/unknown-transfer", "the body's coding is not known: rot13"),
  "a chunk extension without end": bad(
    "body",
    200,
    "/endless-extension",
    "a chunk's size line is longer than 4 KiB",
  ),
  "trailers without end": bad("body", 200, "/endless-trailers", "the trailers are longer than 64 KiB"),
  "deflate of nothing without end": bad("body", 200, "/endless-empty-blocks", TOO_MUCH),
  "gzip of nothing without end": bad("body", 200, "/endless-empty-members", TOO_MUCH),
  // The body exceeds one of two bounds first: which one depends on the machine.
  "zstd of nothing without end": bad("body", 200, "/endless-empty-frames", undefined),
  "deflate of nothing in a small gzip": bad(
    "body",
    200,
    "/empty-blocks-in-gzip",
    "the body has more than 8 MiB between two of its codings",
  ),
  "zstd of nothing 2,000 times": bad("body", 200, "/empty-frames", "the body has more than 1000 frames of zstd"),
  "gzip": up(200, "/gzip", "^All systems normal$"),
  "x-gzip": up(200, "/x-gzip", "^All systems normal$"),
  "deflate": up(200, "/deflate", "^All systems normal$"),
  "deflate without zlib's wrapping": up(200, "/deflate-raw", "^All systems normal$"),
  "br": up(200, "/br", "^All systems normal$"),
  "zstd": up(200, "/zstd", "^All systems normal$"),
  "zstd of several frames": up(200, "/zstd-frames", "^All systems normal$"),
  "gzip of several members": up(200, "/gzip-members", "^All systems normal$"),
  "gzip with zeros behind it": up(200, "/gzip-padded", "^All systems normal$"),
  "gzip in gzip": up(200, "/gzip-gzip", "^All systems normal$"),
  "gzip in identity": up(200, "/identity-gzip", "^All systems normal$"),
  "br in zstd in gzip": up(200, "/br-zstd-gzip", "^All systems normal$"),
  "another encoding": bad("body", 200, "/other-encoding", "the body's coding is not known: rot13"),
  "six encodings": bad("body", 200, "/six-codings", "the body has more than 5 codings"),
  "gzip of nothing": up(200, "/gzip-empty"),
  "gzip announced but not sent": bad("body", 200, "/not-gzip", "the body does not decode as gzip", {
    pattern: "normal",
  }),
  "br announced but not sent": bad("body", 200, "/not-br", "the body does not decode as br"),
  "zstd announced but not sent": bad("body", 200, "/not-zstd", "the body does not decode as zstd"),
  "gzip that stops early": bad("body", 200, "/gzip-cut", "the body does not decode as gzip"),
  "the first bytes of br": bad("body", 200, "/br-begun", "the body does not decode as br"),
  "br that stops early": bad("body", 200, "/br-cut", "the body does not decode as br"),
  "the first bytes of zstd": bad("body", 200, "/zstd-begun", "the body does not decode as zstd"),
  "zstd that stops early": bad("body", 200, "/zstd-cut", "the body does not decode as zstd"),
  "zstd whose second frame stops early": bad("body", 200, "/zstd-second-cut", "the body does not decode as zstd"),
  "br with more behind it": bad("body", 200, "/br-and-more", "the body does not decode as br"),
  "gzip with more behind it": bad("body", 200, "/gzip-and-more", "the body does not decode as gzip"),
  "gzip that breaks off": bad("body", 200, "/gzip-broken-off", CUT),
  "64 MiB in a small gzip": up(200, "/gzip-bomb"),
  "64 MiB in a small gzip with a pattern": bad("body", 200, "/gzip-bomb", "no match in the first 1 MiB", {
    pattern: "x",
  }),

  "64 MiB in a small br": up(200, "/br-bomb"),
  "64 MiB in a small zstd": up(200, "/zstd-bomb"),

  "UTF-16": up(200, "/utf-16", "^preis: 5 €$"),
  "UTF-16, the other way round": up(200, "/utf-16be", "^preis: 5 €$"),
  "Latin-1": up(200, "/latin1", "^grün$"),
  "UTF-8 unsaid": up(200, "/utf-8", "^grün$"),
  "an unknown charset": bad(
    "body",
    200,
    "/other-charset",
    "the body could not be matched: its charset is not known: klingon",
    { pattern: "^grün$" },
  ),
  "an unknown charset of a page that nobody matches": up(200, "/other-charset"),
  "Shift_JIS": up(200, "/shift-jis", "^日本$"),
  "Big5 with the signs of Hong Kong": up(200, "/big5", "^Ê̄一$"),
  "UTF-16 that says it is UTF-8": up(200, "/utf-16-marked", "^preis: 5 €$"),
  "what is no UTF-8": up(200, "/not-utf-8", "normal$"),

  "a body under the cap": up(200, "/under-cap", "END$"),
  "a body at the cap": up(200, "/at-cap", "END$"),
  "a body over the cap": up(200, "/over-cap"),
  "a body over the cap that matches before": up(200, "/over-cap", "xEN$"),
  "a body over the cap that matches after": bad("body", 200, "/over-cap", "no match in the first 1 MiB", {
    pattern: "END",
  }),
  "a body at the cap once decoded": up(200, "/gzip-at-cap", "END$"),
  "a body over the cap once decoded": bad("body", 200, "/gzip-over-cap", "no match in the first 1 MiB", {
    pattern: "END",
  }),
  "an endless body": up(200, "/endless"),
  "an endless body with a pattern": bad("body", 200, "/endless", "no match in the first 1 MiB", { pattern: "END" }),

  "a redirect": up(200, "/to-fine", "normal"),
  "a relative redirect": up(200, "/to-relative", "normal"),
  "a redirect to a host without a path": up(200, "/to-no-path", "normal"),
  "a redirect to a query": up(200, "/to-query", "normal"),
  "a redirect to a path with umlauts": up(200, "/to-non-ascii", "normal"),
  "a redirect that sets a cookie": up(200, "/cookie", "^cookies: none$"),
  "a redirect to //host": up(200, "/to-double-slash", "normal"),
  "a redirect on a connection that stays open": up(200, "/to-held-open", "normal"),
  "a redirect to a path in Latin-1": up(200, "/to-latin1", "normal"),
  "302 with an empty Location": up(302, "/to-nothing", "normal"),
  "308": up(200, "/to-308", "normal"),
  "300 is no redirect": up(300, "/to-300", "elsewhere"),
  "302 without a Location": up(302, "/302-nowhere", "normal"),
  "10 redirects": up(200, "/hops/10", "normal"),
  "11 redirects": bad("redirect", 302, "/hops/11", "more than 10 redirects"),
  "a redirect in a circle": bad("redirect", 302, "/loop", "more than 10 redirects"),
  "a redirect to mail": bad(
    "redirect",
    302,
    "/to-mail",
    "the redirect leads to a mailto: address, not to http: or https:",
  ),
  "a redirect to no URL": bad("redirect", 302, "/to-bad", "the redirect's address is no URL"),
  "a redirect to bad punycode": bad("redirect", 302, to("http://xn--n-t.test/"), "the redirect's address is no URL"),
  "a redirect to bad punycode in capitals": bad(
    "redirect",
    302,
    to("https://XN--0CA24W.xn--gk3at1e.test/"),
    "the redirect's address is no URL",
  ),
  "a redirect to a name with an empty label": bad(
    "redirect",
    302,
    to("http://named..test/"),
    "the redirect's address has a name that no host can have",
  ),
  "a redirect to a port beyond the last": bad(
    "redirect",
    302,
    to("http://127.0.0.1:65536/"),
    "the redirect's address is no URL",
  ),
  "a redirect to port 0": bad("connect", 302, to("http://127.0.0.1:0/"), "127.0.0.1:0: connection refused"),
  "a redirect to an address in hexadecimal": {
    ...up(200, ""),
    url: ({ http }) => `http://${http}${to(`http://0x7f.1:${portOf(http)}/fine`)}`,
  },
  "a redirect to a percent-encoded address": {
    ...up(200, ""),
    url: ({ http }) => `http://${http}${to(`http://%31%32%37.0.0.1:${portOf(http)}/fine`)}`,
  },
  "a redirect to an address of an interface that it does not name": bad(
    "connect",
    302,
    to("http://[fe80::1]:81/"),
    "[fe80::1]:81: a link-local address needs an interface, which a URL cannot name",
  ),
  "a redirect to a dead port": bad(
    "connect",
    302,
    (world) => `http://${world.http}${to(`http://user:secret@${world.refused}/`)}`,
    (world) => `${world.refused}: connection refused`,
  ),
  "a redirect with credentials of its own": up(200, "/to-credentials"),
  "credentials": { ...up(200, ""), url: ({ http }) => `http://${USER}@${http}/fine?credentials` },
  "credentials and a redirect": { ...up(200, ""), url: ({ http }) => `http://${USER}@${http}/to-fine?credentials` },
  "credentials and a refused port": bad(
    "connect",
    null,
    ({ refused }) => `http://${USER}@${refused}/`,
    (world) => `${world.refused}: connection refused`,
    { phases: CONNECT },
  ),
  "credentials and a redirect to another origin": {
    ...up(200, ""),
    url: (world) => `http://${USER}@${world.http}${to(`http://${world.otherOrigin}/fine`)}`,
  },
  "a redirect to TLS": {
    ...up(200, ""),
    url: (world) => `http://${world.http}${to(`https://${world.tls}/fine`)}`,
    phases: TLS_ALL,
  },

  "a redirect to TLS at another name": {
    ...up(200, ""),
    url: (world) => `http://${world.http}${to(`https://named.test:${portOf(world.tlsNamed)}/fine?redirected`)}`,
    phases: TLS_ALL,
  },

  "a blocked address": bad("connect", null, "/fine?blocked", blocked("127.0.0.1"), {
    blocked: "private",
    phases: CONNECT,
  }),
  "a blocked IPv6 address": bad("connect", null, ({ ipv6 }) => `http://${ipv6}/fine?blocked`, blocked("::1"), {
    ...{ blocked: "private", phases: CONNECT },
  }),
  "a blocked address in another notation": bad(
    "connect",
    null,
    ({ http }) => `http://0x7f.1:${portOf(http)}/fine?blocked`,
    blocked("127.0.0.1"),
    { blocked: "private", phases: CONNECT },
  ),
  "a name with a blocked address": bad("connect", null, named("named.test", "/fine?blocked"), blocked("127.0.0.1"), {
    ...{ blocked: "private", phases: CONNECT },
  }),
  "a redirect to a blocked address": bad(
    "connect",
    302,
    ({ http }) => `http://${http}${to(`http://127.0.0.2:${portOf(http)}/fine?blocked`)}`,
    blocked("127.0.0.2"),
    { blocked: ["127.0.0.2"] },
  ),
  "a name that is rebound to a blocked address": bad(
    "connect",
    302,
    named("rebinds.test", to("/fine?blocked")),
    blocked("127.0.0.2"),
    { blocked: ["127.0.0.2"] },
  ),
  "a name with a blocked address and another": {
    ...up(200, ""),
    url: named("partly-private.test"),
    blocked: ["127.0.0.2"],
  },

  "TLS": { ...up(200, "", "normal"), url: (world) => `https://${world.tls}/fine`, phases: TLS_ALL },
  "TLS by address": {
    ...up(200, ""),
    url: (world) => `https://${world.tls.replace("localhost", "127.0.0.1")}/fine`,
    phases: TLS_ALL,
  },
  "TLS at a name with umlauts": {
    ...up(200, "", "normal"),
    url: (world) => `https://münchen.test:${portOf(world.tlsNamed)}/fine`,
    phases: TLS_ALL,
  },
  "TLS with the root sent along": {
    ...up(200, ""),
    url: (world) => `https://${world.tlsWithRoot}/fine`,
    phases: TLS_ALL,
  },
  "an expired certificate": refusedTls("tlsExpired", "certificate has expired"),
  "a certificate of next week": refusedTls("tlsNotYetValid", "certificate is not yet valid"),
  "a certificate for another name": refusedTls(
    "tlsOtherName",
    "certificate is not for localhost (it is for other.example)",
  ),
  "a self-signed certificate": refusedTls("tlsSelfSigned", "certificate is self-signed"),
  "a missing intermediate certificate": refusedTls(
    "tlsWithoutIntermediate",
    "certificate's issuer is not known, or an intermediate certificate is missing",
  ),
  "a certificate whose name is a common name": refusedTls("tlsNoNames", NO_NAMES),
  "a certificate whose address is written as a name": misnamed(
    "127.0.0.1",
    "tlsAddressAsName",
    "localhost, 127.0.0.1",
  ),
  "a certificate of version 1": refusedTls("tlsVersionOne", "certificate is of X.509 version 1, not 3"),
  "a certificate signed with SHA-1": refusedTls("tlsSha1", "certificate is signed with SHA-1"),
  "an intermediate signed with SHA-1": refusedTls(
    "tlsSha1Intermediate",
    "intermediate certificate intermediate.example is signed with SHA-1",
  ),
  "an intermediate whose key is short": refusedTls(
    "tlsShortIntermediate",
    "intermediate certificate intermediate.example has an RSA key of 1024 bits, fewer than 2048",
  ),
  "a certificate for clients": refusedTls("tlsForClients", `certificate ${NOT_FOR_SERVERS}`),
  "a certificate for signing alone": refusedTls("tlsForSigning", "certificate is not for TLS (by its key usage)"),
  "an intermediate for mail": refusedTls(
    "tlsMailIntermediate",
    `intermediate certificate intermediate.example ${NOT_FOR_SERVERS}`,
  ),
  "an intermediate that is no authority": refusedTls(
    "tlsNoAuthority",
    "intermediate certificate intermediate.example is not an authority's",
  ),
  "a name that the intermediate may not sign for": refusedTls(
    "tlsOutsideConstraints",
    "intermediate certificate intermediate.example may not sign for localhost (by its name constraints)",
  ),
  "a critical extension that nobody knows": refusedTls(
    "tlsStrangeExtension",
    (_, runtime) =>
      runtime === "node" ? "certificate has a critical extension that is not known (1.2.3.4)" : DENO_UNREADABLE,
  ),
  "an RSA key of 1,024 bits": refusedTls(
    "tlsShortKey",
    (_, runtime) => runtime === "node" ? "certificate has an RSA key of 1024 bits, fewer than 2048" : DENO_UNREADABLE,
  ),
  "an expired intermediate": refusedTls(
    "tlsExpiredIntermediate",
    "intermediate certificate intermediate.example has expired",
  ),
  "an expired root": refusedTls("tlsBelowOldRoot", "root certificate old.example has expired"),
  "an authority that serves": fineTls("tlsAuthorityAsServer"),
  "a self-signed certificate that is trusted": fineTls("tlsTrustedSelf"),
  "a self-signed authority that is trusted and serves": fineTls("tlsTrustedAuthority"),
  "an intermediate before and after it was renewed": fineTls("tlsRenewedIntermediate"),
  "an expired certificate left over in what is sent": fineTls("tlsLeftover"),
  "an RSA key of 2,048 bits": fineTls("tlsRsa"),
  "a wildcard": fineTlsAt("deep.wild.test", "tlsWildcard"),
  "a wildcard and its own domain": misnamed("wild.test", "tlsWildcard", "*.wild.test"),
  "a wildcard for two labels": misnamed("very.deep.wild.test", "tlsWildcard", "*.wild.test"),
  "a wildcard for all of a top-level domain": misnamed("named.test", "tlsWildTop", "*.test"),
  "a wildcard for a part of a label": misnamed("deep.wild.test", "tlsWildPart", "dee*.wild.test"),
  "32 certificates": fineTls("tlsEnoughCertificates"),
  "33 certificates": refusedTls("tlsManyCertificates", "the server sends more than 32 certificates"),
  "400 certificates": refusedTls("tlsEndlessCertificates", "the server's certificates are longer than 64 KiB"),
  "no TLS where TLS is asked for": refusedTls("speaksPlainly", "the answer is not TLS"),
  "no TLS where nobody asked for it": bad(
    "tls",
    null,
    (world) => `${world.speaksPlainly}/`,
    (world) =>
      "the answer is not TLS: https:// is put in front of an address without a scheme, " +
      `write http://${world.speaksPlainly}/`,
    { phases: TLS },
  ),
  "closed at once where TLS is asked for": refusedTls("closesAtOnce", "connection was closed during the TLS handshake"),
  "TLS where none is asked for": bad(
    "protocol",
    null,
    (world) => `http://${world.tls}/`,
    "connection was closed without an answer",
    { phases: FIRST },
  ),
};

/** The phases of a metric that have a time, in the form of a case. */
export function phasesOf(metric: Metric): string {
  return PHASES.filter((phase) => metric[`latency_${phase}`] !== null).join(" ");
}
