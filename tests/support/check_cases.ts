import type { Metric } from "../../lib/metric.ts";
import { PHASES } from "../../lib/check/stopwatch.ts";

/** Where things are in one run of the cases: `host:port` by what is special there. */
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
    | "tlsOtherName"
    | "tlsSelfSigned"
    | "tlsSilent",
    string
  >
>;

/** One check and what has to come of it. */
export interface Case {
  readonly url: (world: World) => string;
  readonly pattern?: string;
  readonly authorization?: string;
  readonly timeout?: number;
  readonly status: number | null;
  readonly isValid: boolean;
  readonly error: Metric["error"];
  /** Exactly, with the world's places put in. */
  readonly detail?: string | ((world: World) => string);
  /** The phases that hold a time, as `dns connect …`. */
  readonly phases: string;
}

const DNS = "dns";
const CONNECT = "dns connect";
const FIRST = "dns connect first_byte";
const ALL = "dns connect first_byte body";
const TLS = "dns connect tls";
const TLS_ALL = "dns connect tls first_byte body";
type Rest = Partial<Pick<Case, "pattern" | "authorization" | "timeout" | "detail" | "phases">>;

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
const refusedTls = (place: keyof World, detail: string) =>
  bad("tls", null, (world) => `https://${world[place]}/fine`, detail, { phases: TLS });

const CUT = "connection was closed within the body";
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
  "an odd status": up(999, "/999"),
  "an empty body and a pattern that matches it": up(200, "/empty", "^$"),
  "chunks": up(200, "/chunked", "^All systems normal$"),
  "HTTP/1.0 without a length": up(200, "/http1.0", "normal$"),
  "early hints before the answer": up(200, "/early-hints", "normal"),
  "more bytes than were announced": up(200, "/too-much", "normal$"),
  "40 KB of headers": up(200, "/head-40k", "normal"),
  "an IPv6 address": { ...up(200, "/fine"), url: (world) => `http://${world.ipv6}/fine` },
  "a path with a query and a fragment": up(200, "/fine?a=b#prices"),

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
  "closed at once": bad("protocol", null, (world) => `http://${world.closesAtOnce}/`, undefined, { phases: FIRST }),
  "another protocol that speaks first": bad("protocol", null, (world) => `http://${world.speaksFirst}/`, undefined),
  "closed without an answer": bad("protocol", null, "/closes", "connection was closed without an answer", {
    phases: FIRST,
  }),
  "reset without an answer": bad("protocol", null, "/resets", "connection was reset without an answer", {
    phases: FIRST,
  }),
  "half a header": bad("protocol", null, "/half-head", "connection was closed within the answer's headers"),
  "no HTTP": bad("protocol", null, "/not-http", "the answer is not HTTP: Expected HTTP/, RTSP/ or ICE/"),
  "two lengths": bad("protocol", null, "/two-lengths", "the answer is not HTTP: Duplicate Content-Length"),
  "70 KB of headers": bad("protocol", null, "/head-70k", "the answer's headers are longer than 64 KiB"),
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
  "a bad chunk": bad("body", 200, "/bad-chunk", CUT, { pattern: "normal" }),
  "gzip": up(200, "/gzip", "^All systems normal$"),
  "x-gzip": up(200, "/x-gzip", "^All systems normal$"),
  "deflate": up(200, "/deflate", "^All systems normal$"),
  "deflate without zlib's wrapping": up(200, "/deflate-raw", "^All systems normal$"),
  "br": up(200, "/br", "^All systems normal$"),
  "zstd": up(200, "/zstd", "^All systems normal$"),
  "another encoding": up(200, "/other-encoding", "^All systems normal$"),
  "gzip of nothing": up(200, "/gzip-empty"),
  "gzip announced but not sent": bad("body", 200, "/not-gzip", "the body does not decode as gzip", {
    pattern: "normal",
  }),
  "br announced but not sent": bad("body", 200, "/not-br", "the body does not decode as br"),
  "zstd announced but not sent": bad("body", 200, "/not-zstd", "the body does not decode as zstd"),
  "gzip that stops early": bad("body", 200, "/gzip-cut", "the body does not decode as gzip"),
  "gzip that breaks off": bad("body", 200, "/gzip-broken-off", CUT),
  "64 MiB in a small gzip": up(200, "/gzip-bomb"),
  "64 MiB in a small gzip with a pattern": bad("body", 200, "/gzip-bomb", "no match in the first 1 MiB", {
    pattern: "x",
  }),

  "UTF-16": up(200, "/utf-16", "^preis: 5 €$"),
  "Latin-1": up(200, "/latin1", "^grün$"),
  "UTF-8 unsaid": up(200, "/utf-8", "^grün$"),
  "an unknown charset": up(200, "/other-charset", "^grün$"),
  "what is no UTF-8": up(200, "/not-utf-8", "normal$"),

  "a body under the cap": up(200, "/under-cap", "END$"),
  "a body at the cap": up(200, "/at-cap", "END$"),
  "a body over the cap": up(200, "/over-cap"),
  "a body over the cap that matches before": up(200, "/over-cap", "xEN$"),
  "a body over the cap that matches after": bad("body", 200, "/over-cap", "no match in the first 1 MiB", {
    pattern: "END",
  }),
  "an endless body": up(200, "/endless"),
  "an endless body with a pattern": bad("body", 200, "/endless", "no match in the first 1 MiB", { pattern: "END" }),

  "a redirect": up(200, "/to-fine", "normal"),
  "a relative redirect": up(200, "/to-relative", "normal"),
  "a redirect to //host": up(200, "/to-double-slash", "normal"),
  "a redirect on a connection that stays open": up(200, "/to-held-open", "normal"),
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
  "a redirect to a dead port": bad(
    "connect",
    302,
    (world) => `http://${world.http}/to-refused?${encodeURIComponent(`http://user:secret@${world.refused}/`)}`,
    (world) => `${world.refused}: connection refused`,
  ),
  "a redirect with credentials of its own": up(200, "/to-credentials"),
  "credentials": { ...up(200, "/fine?credentials"), authorization: "Basic c2VjcmV0" },
  "credentials and a redirect": { ...up(200, "/to-fine?credentials"), authorization: "Basic c2VjcmV0" },
  "credentials and a redirect to another origin": {
    ...up(200, ""),
    url: (world) => `http://${world.http}/to-refused?${encodeURIComponent(`http://${world.otherOrigin}/fine`)}`,
    authorization: "Basic c2VjcmV0",
  },
  "a redirect to TLS": {
    ...up(200, ""),
    url: (world) => `http://${world.http}/to-refused?${encodeURIComponent(`https://${world.tls}/fine`)}`,
    phases: TLS_ALL,
  },

  "TLS": { ...up(200, "", "normal"), url: (world) => `https://${world.tls}/fine`, phases: TLS_ALL },
  "TLS by address": {
    ...up(200, ""),
    url: (world) => `https://${world.tls.replace("localhost", "127.0.0.1")}/fine`,
    phases: TLS_ALL,
  },
  "TLS with the root sent along": {
    ...up(200, ""),
    url: (world) => `https://${world.tlsWithRoot}/fine`,
    phases: TLS_ALL,
  },
  "an expired certificate": refusedTls("tlsExpired", "certificate has expired"),
  "a certificate for another name": refusedTls(
    "tlsOtherName",
    "certificate is not for localhost (it is for other.example)",
  ),
  "a self-signed certificate": refusedTls("tlsSelfSigned", "certificate is self-signed"),
  "a missing intermediate certificate": refusedTls(
    "tlsWithoutIntermediate",
    "certificate's issuer is not known, or an intermediate certificate is missing",
  ),
  "no TLS where TLS is asked for": refusedTls("speaksPlainly", "the answer is not TLS"),
  "closed at once where TLS is asked for": refusedTls("closesAtOnce", "connection was closed during the TLS handshake"),
  "TLS where none is asked for": bad("protocol", null, (world) => `http://${world.tls}/`, undefined, { phases: FIRST }),
};

/** The phases of a metric that hold a time, as a case writes them. */
export function phasesOf(metric: Metric): string {
  return PHASES.filter((phase) => metric[`latency_${phase}`] !== null).join(" ");
}
