import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { Fields } from "../../lib/check/answer_parser.ts";
import { CheckRunner } from "../../lib/check/check_runner.ts";
import { evidenceIn, keepPage } from "../../lib/check/evidence.ts";
import { LocalChecker } from "../../lib/check/threads/serve.ts";
import { openMatcher } from "../../lib/check/matching.ts";
import { runtimeAuthorities } from "../../lib/check/paths.ts";
import { TrustStore } from "../../lib/check/trust.ts";
import type { Host } from "../../lib/hosts/hosts.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import { decodeMetric, encodeMetric, evidenceOf, isRejection, type Metric } from "../../lib/metric.ts";
import { systemResolver } from "../../lib/net/resolver.ts";
import { answer, openSite, refusedPort, type Request } from "../support/site.ts";

const TOKEN = 's3cret/t0ken+"<ü>';
const FILE = "f1le-secret";
const references = { variable: () => TOKEN, file: () => Buffer.from(`${FILE}\n`) };
/** The host of these lines. */
function hostOf(...lines: string[]): Host {
  const { hosts: [host], problems } = parseHosts(lines.join("\n"), "h", "UTC", references);
  expect(problems).toEqual([]);
  return host as Host;
}
const PLAIN = hostOf("a.example 5");
const SECRETIVE = hostOf(
  ...["https://me:l0gin-pass@a.example 5", "| method POST", "| header X-Api-Key: ${HOSTS_TOKEN}"],
  ...[
    "| header Cookie: a=c00kie-value; b=${file:x}",
    '| body {"password": "b0dy-pass", "user": {"pin": 123456}, "q": "x"}',
  ],
);

function headOf(headers: Readonly<Record<string, string>>, line = "HTTP/1.1 503 Busy") {
  const fields = new Fields();
  for (const [name, value] of Object.entries(headers)) fields.add(name, value);
  return { line, fields };
}
const bodyOf = (bytes: Buffer, contentType: string | null = null, isCut = false) => ({ bytes, contentType, isCut });
/** The body that evidence has of a page. */
async function shownOf(host: Host, text: string | Buffer, contentType?: string): Promise<string | null> {
  const body = bodyOf(typeof text === "string" ? Buffer.from(text) : text, contentType);
  return (await evidenceIn(headOf({}), keepPage(body, host), host)).body;
}

describe("evidence", () => {
  it("has the headers by their names, without those that log somebody in", async () => {
    const kept = { server: "nginx", "retry-after": "5", "x-note": "grün", "www-authenticate": "Basic" };
    const left = {
      ...{ "set-cookie": "1", authorization: "1", "proxy-authorization": "1", "authentication-info": "1" },
      ...{ "x-auth-token": "1", "x-csrf-token": "1", "x-session-id": "1", "x-amz-signature": "1", "x-api-key": "1" },
    };
    const sent = { ...kept, "x-note": Buffer.from("grün").toString("latin1"), ...left };
    const { headers, status_line, body } = await evidenceIn(headOf(sent), null, PLAIN);
    expect({ headers, status_line, body }).toEqual({ headers: kept, status_line: "HTTP/1.1 503 Busy", body: null });
  });

  it("has an address without its query and its login", async () => {
    const { headers } = await evidenceIn(
      headOf({
        location: "https://me:pass@b.example/x?token=1#y",
        link: "</a?k=1>; rel=next, </b?k=2>",
        refresh: "0; url=/x?y",
      }),
      null,
      PLAIN,
    );
    expect(headers).toEqual({
      location: "https://b.example/x?…",
      link: "</a?…>; rel=next, </b?…>",
      refresh: "0; url=/x?…",
    });
  });

  it("has headers of a bounded length", async () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x-${i}`, "y".repeat(1000)]));
    const { headers, status_line } = await evidenceIn(headOf(many, `HTTP/1.1 500 ${"z".repeat(9000)}`), null, PLAIN);
    const lengths = Object.values(headers).map(({ length }) => length);
    expect(new Set(lengths)).toEqual(new Set([500]));
    expect(lengths.length).toBe(8);
    expect(status_line).toHaveLength(200);
  });

  it("has the first 2 KiB of a page, cut at a character", async () => {
    expect(await shownOf(PLAIN, "fine\r\n\tnow")).toBe("fine\r\n\tnow");
    expect(await shownOf(PLAIN, "")).toBe("");
    const text = await shownOf(PLAIN, `x${"ü".repeat(3000)}`);
    expect(text).toBe(`x${"ü".repeat(1023)}`);
    expect(Buffer.byteLength(text ?? "")).toBe(2047);
  });

  it("has text only: in the page's charset, without signs that cannot be stored", async () => {
    expect(await shownOf(PLAIN, Buffer.from("grün", "latin1"), "text/html; charset=latin1")).toBe("grün");
    expect(await shownOf(PLAIN, "a\0b\x1bc")).toBe("a\uFFFDb\uFFFDc");
    expect(await shownOf(PLAIN, "text", "text/html; charset=nonsense")).toBeNull();
    expect(await shownOf(PLAIN, Buffer.from("\uFEFFgrün 😀", "utf16le"))).toBe("grün 😀");
  });

  const SECRETS = [TOKEN, FILE, "c00kie-value", "l0gin-pass", "b0dy-pass", "123456", "me:l0gin-pass"];
  it.each<[form: string, write: (secret: string) => string]>([
    ["as it is", (secret) => secret],
    ["in JSON", (secret) => JSON.stringify({ a: secret })],
    ["in JSON of ASCII", (secret) => JSON.stringify(secret).replaceAll("ü", "\\u00fc").replaceAll("/", "/")],
    ["in JSON with slashes escaped", (secret) => JSON.stringify(secret).replaceAll("/", "\\/")],
    [
      "in HTML",
      (secret) =>
        secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;"),
    ],
    ["in a URL", encodeURIComponent],
    ["in base64", (secret) => Buffer.from(secret).toString("base64")],
    ["in base64 of URLs", (secret) => Buffer.from(secret).toString("base64url")],
  ])("shows no secret of its host that the site sends back %s", async (_, write) => {
    for (const secret of SECRETS) {
      const echo = `<p>You sent ${write(secret)}!</p>`;
      const evidence = await evidenceIn(
        headOf(
          { "x-echo": Buffer.from(echo).toString("latin1") },
          `HTTP/1.1 400 ${Buffer.from(echo).toString("latin1")}`,
        ),
        keepPage(bodyOf(Buffer.from(echo)), SECRETIVE),
        SECRETIVE,
      );
      const hidden = "<p>You sent …!</p>";
      const shown = [evidence.body, evidence.headers["x-echo"], evidence.status_line].map((text) =>
        text?.replace("HTTP/1.1 400 ", "").replace(/\{"a":"…"\}|"…"/, "…")
      );
      expect(shown).toEqual([hidden, hidden, hidden]);
    }
  });

  it("shows no part of a secret at any place of the page, nor at its end where it is cut", async () => {
    for (let before = 1900; before < 2100; before++) {
      const page = `${"x".repeat(before)}${TOKEN}${"y".repeat(3000)}`;
      expect(await shownOf(SECRETIVE, page), String(before)).not.toContain(TOKEN.slice(0, 4));
      // Of a page that max-body has cut, nobody knows how it goes on.
      const cut = bodyOf(Buffer.from(page.slice(0, before + 9)), null, true);
      const { body } = await evidenceIn(headOf({}), keepPage(cut, SECRETIVE), SECRETIVE);
      expect(body, String(before)).not.toContain(TOKEN.slice(0, 4));
    }
  });

  it("leaves what is no secret: open headers, and ordinary words of a body", async () => {
    const host = hostOf(
      "a.example 5",
      "| method POST",
      "| header Accept: text/html",
      '| body {"q": "status", "key": "abc"}',
    );
    expect(await shownOf(host, "text/html status abc")).toBe("text/html status abc");
    expect(await shownOf(host, 'bad: {"q": "status", "key": "abc"}')).toBe("bad: …");
  });
});

const matcher = openMatcher();
afterAll(() => matcher[Symbol.asyncDispose]());
const SOURCE = { location: "here", producer: "me" };
const checker = () =>
  new LocalChecker({
    ...SOURCE,
    ...{ timeout: 10, userAgent: "checks-test", resolver: systemResolver(), isBlocked: null, matcher },
    trust: new TrustStore(runtimeAuthorities(null)),
  });
/** Checks that give their metrics until `count` are there. */
async function checksOf(hosts: readonly Host[], count: number, wantsEvidence: boolean): Promise<Metric[]> {
  const stop = new AbortController();
  const metrics: Metric[] = [];
  const options = { ...SOURCE, concurrency: 10, isOnce: false, checker: checker(), wantsEvidence };
  for await (const metric of new CheckRunner(hosts, options, stop.signal, stop.signal)) {
    metrics.push(metric);
    if (metrics.length === count) stop.abort();
  }
  return metrics;
}

describe("a check", () => {
  it("brings evidence at the first failure of a row of them, and again after the host was up", async () => {
    const statuses = [200, 503, 503, 503, 200, 404, 404, 200];
    let at = 0;
    await using site = await openSite((socket) => {
      const status = statuses[at++] ?? 200;
      socket.end(answer(`${status} Some`, { "Set-Cookie": "a=1", "X-At": String(at) }, `page ${at}`));
    });
    const metrics = await checksOf([hostOf(`http://127.0.0.1:${site.port}/ 1s`)], statuses.length, true);
    expect(metrics.map((metric) => [metric.status_code, evidenceOf(metric)?.body ?? null])).toEqual([
      ...[[200, null], [503, "page 2"], [503, null], [503, null], [200, null], [404, "page 6"], [404, null], [
        200,
        null,
      ]],
    ]);
    expect(evidenceOf(metrics[1] as Metric)).toMatchObject({
      status_line: "HTTP/1.1 503 Some",
      headers: { "x-at": "2", "content-length": "6" },
    });
    expect(evidenceOf(metrics[1] as Metric)?.headers).not.toHaveProperty("set-cookie");
  }, 30_000);

  it("brings none where nobody wants it, where no answer came, and where the host is up", async () => {
    await using site = await openSite((socket, { path }) =>
      void socket.end(answer(path === "/up" ? "200 OK" : "500 No"))
    );
    const page = `http://127.0.0.1:${site.port}`;
    expect((await checksOf([hostOf(`${page}/ 1s`)], 1, false)).map(evidenceOf)).toEqual([null]);
    const hosts = [hostOf(`${page}/up 1s`), hostOf(`http://127.0.0.1:${await refusedPort()}/ 1s`)];
    expect((await checksOf(hosts, 2, true)).map(evidenceOf)).toEqual([null, null]);
  });

  const once = async (path: string, page: (request: Request) => Buffer | string, ...lines: string[]) => {
    await using site = await openSite((socket, request) => void socket.end(page(request)));
    const [metric] = await checksOf([hostOf(`http://127.0.0.1:${site.port}${path} 1s`, ...lines)], 1, true);
    return metric as Metric;
  };

  it("brings the page that does not match, as it was before compression", async () => {
    const metric = await once(
      "/",
      () => answer("200 OK", { "Content-Encoding": "gzip" }, gzipSync("Out of order")),
      "| absent Out of order",
    );
    expect(metric).toMatchObject({ is_valid: false, error: null, up: false });
    expect(evidenceOf(metric)).toMatchObject({ status_line: "HTTP/1.1 200 OK", body: "Out of order" });
  });

  it("brings the head alone where the body broke off, and nothing but that of the last answer", async () => {
    const broken = await once("/", () => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-A: 1\r\n\r\nabc");
    expect(broken).toMatchObject({ error: "body" });
    expect(evidenceOf(broken)).toEqual({
      status_line: "HTTP/1.1 200 OK",
      headers: { "content-length": "9", "x-a": "1" },
      body: null,
    });
    const led = await once(
      "/a",
      ({ path }) => path === "/a" ? answer("302 Found", { Location: "/b" }) : answer("410 Gone", {}, "no more"),
    );
    expect(evidenceOf(led)).toMatchObject({ status_line: "HTTP/1.1 410 Gone", body: "no more" });
  });

  it("hides what the site sends back of the request", async () => {
    const metric = await once(
      "/echo",
      ({ headers, body }) =>
        answer("400 Bad", { "X-Echo": headers["x-api-key"] ?? "" }, `${JSON.stringify(headers)} ${body}`),
      ...["| method POST", "| header X-Api-Key: ${HOSTS_TOKEN}", "| header Accept: a/b", "| body token=${file:x}&a=1"],
    );
    const text = JSON.stringify(evidenceOf(metric));
    for (const secret of [TOKEN, FILE, Buffer.from(TOKEN).toString("latin1"), "t0ken"]) {
      expect(text).not.toContain(secret);
    }
    expect(evidenceOf(metric)?.body).toContain('"accept":"a/b"');
  });
});

describe("a message with evidence", () => {
  const evidence = { status_line: "HTTP/1.1 500 No", headers: { a: "b" }, body: "text" };
  const decoded = (given: unknown) => {
    const document = JSON.parse(encodeMetric(metricOf())) as object;
    const metric = decodeMetric(new TextEncoder().encode(JSON.stringify({ ...document, evidence: given })), 0);
    if (isRejection(metric)) throw new Error(metric.reason);
    return evidenceOf(metric);
  };
  const metricOf = (): Metric => {
    const document = {
      address: "a",
      status_code: 500,
      latency: 1,
      is_valid: true,
      checked_at: "2026-01-31T12:00:00.000Z",
    };
    return decodeMetric(new TextEncoder().encode(JSON.stringify(document)), 0) as Metric;
  };

  it("keeps it on its way", () => {
    expect(decoded(evidence)).toEqual(evidence);
    expect(decoded({ ...evidence, body: null, headers: {} })).toEqual({ ...evidence, body: null, headers: {} });
  });

  it.each([[null], ["text"], [{}], [[]], [{ ...evidence, headers: { a: 1 } }], [{ ...evidence, body: 5 }], [{
    ...evidence,
    status_line: null,
  }]])("is a metric all the same where the evidence is %j", (given) => {
    expect(decoded(given)).toBeNull();
  });

  it("keeps of it what can be stored", () => {
    const long = { status_line: "x".repeat(9999), headers: { "a\0": "\uD800" }, body: `\0${"y".repeat(99_999)}` };
    const kept = decoded(long);
    expect(kept?.headers).toEqual({ "a\uFFFD": "\uFFFD" });
    expect([kept?.status_line.length, kept?.body?.length, kept?.body?.[0]]).toEqual([1000, 16_384, "\uFFFD"]);
  });
});
