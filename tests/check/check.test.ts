import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import type { TlsOptions, TLSSocket } from "node:tls";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { check, type CheckOptions } from "../../lib/check/check.ts";
import { openMatcher } from "../../lib/check/matching.ts";
import { Turns } from "../../lib/check/pace.ts";
import { runtimeAuthorities } from "../../lib/check/paths.ts";
import { TrustStore } from "../../lib/check/trust.ts";
import { PHASES } from "../../lib/check/timings.ts";
import type { Host } from "../../lib/hosts/hosts.ts";
import { systemResolver } from "../../lib/net/resolver.ts";
import { Certificates } from "../support/certificates.ts";
import { CASES, phasesOf, USER } from "../support/check_cases.ts";
import { MIB } from "../support/check_pages.ts";
import type { Checked, Order, Target } from "../support/check_runner.ts";
import { type CheckWorld, openWorld } from "../support/check_world.ts";
import { BEHIND_THE_PAGE, GOOD_BODY, GOOD_PATHS, goodPage } from "../support/good_pages.ts";
import { openNameServer } from "../support/name_server.ts";
import { namesFolder } from "../support/resolver_folder.ts";
import { RUNTIMES } from "../support/programs.ts";
import type { Runtime } from "../support/programs.ts";
import { answer, openSite } from "../support/site.ts";
import type { Site } from "../support/site.ts";
import { TLS_FLOODS } from "../support/tls_floods.ts";

const certificates = new Certificates();
afterAll(() => certificates[Symbol.dispose]());

/**
 * Makes the checks in a process of the runtime. The process trusts the given authority, else the
 * test's.
 */
async function runChecks(
  runtime: Runtime,
  order: Order,
  manner: "at-once" | "in-turn" | "in-short-turns" = "at-once",
  trusted: string | undefined = certificates.trustedFile,
): Promise<ReadonlyMap<string, Checked>> {
  const script = fileURLToPath(new URL("../support/check_runner.ts", import.meta.url));
  const [command, args] = runtime === "node"
    ? [process.execPath, ["--experimental-strip-types"]]
    : ["deno", ["run", "-A", "-q"]];
  const authority = runtime === "node" ? "NODE_EXTRA_CA_CERTS" : "DENO_CERT";
  const child = spawn(command, [...args, script, manner], {
    env: { ...process.env, [authority]: trusted },
  });
  child.stdin.end(JSON.stringify(order));
  const [output, problems] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(problems).toBe("");
  const checked = output.trimEnd().split("\n").map((line) => JSON.parse(line) as Checked);
  return new Map(checked.map((each) => [each.name, each]));
}

/** A host, and how a check reads its body. */
function hostAt(url: string, rest: Partial<Host> = {}): Host {
  const frequency = { kind: "interval", text: "60s", interval: 60_000 } as const;
  const manner = { authorization: null, pattern: null, absent: null, options: null };
  return { line: 1, address: url, url: new URL(url), frequency, ...manner, ...rest };
}
const microseconds = (seconds: number | null) => Math.round((seconds ?? 0) * 1e6);
const matcher = openMatcher();
afterAll(() => matcher[Symbol.asyncDispose]());
const options: CheckOptions = {
  ...{
    timeout: 10,
    location: null,
    producer: null,
    userAgent: "check-test",
    matcher,
    turns: new Turns(),
  },
  ...{ resolver: systemResolver(), isBlocked: null, trust: new TrustStore(runtimeAuthorities(null)) },
};
const never = new AbortController().signal;

/** The target of a case. */
function targetOf(name: string, url: string, rest: Partial<Target> & { pattern?: string } = {}): Target {
  const { pattern = "", ...others } = rest;
  return { name, line: `${url} 1h ${pattern}`, timeout: 20, blocked: null, ...others };
}

const isSlow = ({ name }: Target) => CASES[name]?.slow !== undefined || CASES[name]?.timeout !== undefined;
/**
 * These answers use all that a connection gives. Other checks beside many of them would be late.
 */
const isHeavy = ({ line }: Target) => /\/(?:endless|one-byte)/.test(line);

describe.each(RUNTIMES)("check under %s", (runtime) => {
  let world: CheckWorld;
  let sites: CheckWorld["sites"];
  let checked: ReadonlyMap<string, Checked>;
  const metricOf = (name: string) => (checked.get(name) as Checked).metric;
  const metrics = () => [...checked.values()].map(({ metric }) => metric);
  const requestsOf = (site: Site, path: string) => site.requests.filter((request) => request.path === path);
  const orderOf = (targets: readonly Target[]): Order => ({ names: world.names, targets });

  beforeAll(async () => {
    world = await openWorld(certificates);
    sites = world.sites;
    const targets = Object.entries(CASES).map(([name, { url, pattern = "", timeout = 20, blocked = null }]) =>
      targetOf(name, url(world.places), { pattern, timeout, blocked })
    );
    // A slow target has the process to itself. Beside others, the time of their work would count
    // too.
    const { slow = [], heavy = [], others = [] } = Object.groupBy(
      targets,
      (target) => isSlow(target) ? "slow" : isHeavy(target) ? "heavy" : "others",
    );
    checked = new Map([
      ...await runChecks(runtime, orderOf(others)),
      ...await runChecks(runtime, orderOf(slow)),
      ...await runChecks(runtime, orderOf(heavy), "in-turn"),
    ]);
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  it.each(Object.entries(CASES))(
    "check tells the truth of %s, and shares its latency out without gaps",
    (name, expected) => {
      const metric = metricOf(name);
      expect({
        status: metric.status_code,
        isValid: metric.is_valid,
        error: metric.error,
        phases: phasesOf(metric),
      }).toEqual({
        status: expected.status,
        isValid: expected.isValid,
        error: expected.error,
        phases: expected.phases,
      });
      if (expected.detail !== undefined) {
        expect(metric.error_detail).toBe(
          typeof expected.detail === "string" ? expected.detail : expected.detail(world.places, runtime),
        );
      }
      expect(metric.error_detail === null).toBe(metric.error === null);
      expect(PHASES.map((phase) => microseconds(metric[`latency_${phase}`])).reduce((sum, part) => sum + part))
        .toBe(microseconds(metric.latency));
    },
  );

  it.each(Object.entries(CASES).flatMap(([name, { slow }]) => slow === undefined ? [] : [{ name, slow }]))(
    "check charges $slow with the time that it took: $name",
    ({ name, slow }) => {
      // A slow answer takes a second. A moment may pass until this side begins to wait for it.
      expect(metricOf(name)[`latency_${slow}`]).toBeGreaterThanOrEqual(0.5);
    },
  );

  it("check waits as long as the timeout says", () => {
    for (const [name, { error }] of Object.entries(CASES)) {
      if (error === "timeout") expect(metricOf(name).latency).toBeGreaterThanOrEqual(1.99);
    }
  });

  it("check takes no time for the name of an address", () => {
    expect(metricOf("a fine page").latency_dns).toBe(0);
    expect(metricOf("an IPv6 address").latency_dns).toBe(0);
  });

  it("check says which address it connected to last, also where no answer came, and null where to none", () => {
    expect(metricOf("a fine page").remote_address).toBe("127.0.0.1");
    expect(metricOf("an IPv6 address").remote_address).toBe("::1");
    for (const { error, remote_address } of metrics()) {
      if (error === "dns" || error === "missed") expect(remote_address).toBeNull();
      if (error === null || error === "body" || error === "protocol") expect(remote_address).not.toBeNull();
    }
  });

  it("check gives its verdict: up where a whole answer came with a status below 400 and a page as it should be", () => {
    for (const metric of metrics()) {
      const { error, status_code, is_valid, up } = metric;
      expect(up).toBe(error === "missed" ? null : error === null && (status_code ?? 999) < 400 && is_valid);
    }
    expect(new Set(metrics().map(({ up }) => up))).toContain(true);
    expect(new Set(metrics().map(({ up }) => up))).toContain(false);
  });

  it("check fills in the rest of the metric", () => {
    const metric = metricOf("a fine page");
    expect(metric).toMatchObject({
      producer: "me",
      next_at: null,
      address: `http://${world.places.http}/fine`,
      scheduled_at: "1970-01-01T00:00:00.000Z",
      location: "here",
      tls_expires_at: null,
    });
    expect(Math.abs(Date.parse(metric.checked_at ?? "") - Date.now())).toBeLessThan(600_000);
    expect(new Set(metrics().map(({ check_id }) => check_id)).size).toBe(checked.size);
  });

  it("check sends one request a hop, never a second one in silence", () => {
    for (const path of ["/closes", "/resets", "/half-head", "/404", "/to-held-open"]) {
      expect(requestsOf(sites.http, path)).toHaveLength(1);
    }
    // The case "10 redirects" asks it once. The case "11 redirects" ends with the redirect of
    // /hops/1, and asks it again.
    expect(requestsOf(sites.http, "/hops/1")).toHaveLength(2);
    expect(requestsOf(sites.http, "/hops/0")).toHaveLength(1);
    expect(requestsOf(sites.http, "/loop")).toHaveLength(11);
    // Once for http:, once for https:.
    expect(sites.closesAtOnce.accepted).toBe(2);
  });

  it("check opens a connection for every request and closes each", async () => {
    expect(sites.http.accepted).toBe(sites.http.requests.length);
    await vi.waitFor(() => {
      const open = Object.entries(sites).filter(([, site]) => site.open > 0).map(([name]) => name);
      expect(open).toEqual([]);
    });
  });

  it("check sends what a server needs to know, and nothing else", () => {
    const [request] = requestsOf(sites.http, "/fine?a=b");
    expect(request).toMatchObject({
      method: "GET",
      headers: {
        host: world.places.http,
        "user-agent": "check-test",
        accept: "*/*",
        "accept-encoding": "gzip, deflate, br, zstd",
        connection: "close",
      },
    });
    expect(Object.keys(request?.headers ?? {})).toHaveLength(5);
  });

  it("check sends credentials to the origin they were given for, and to no other", () => {
    const sent = (site: Site, path: string) => requestsOf(site, path).map(({ headers }) => headers.authorization);
    const basic = `Basic ${Buffer.from(decodeURIComponent(USER)).toString("base64")}`;
    expect(sent(sites.http, "/fine?credentials")).toEqual([basic]);
    expect(sent(sites.http, "/to-fine?credentials")).toEqual([basic]);
    expect(sites.http.requests.filter(({ headers }) => headers.authorization !== undefined)).toHaveLength(4);
    expect(sent(sites.otherOrigin, "/fine")).toEqual([undefined]);
  });

  it("check shows credentials nowhere, and sends those of a redirect to nobody", () => {
    expect(JSON.stringify(metrics())).not.toContain("hidden");
    expect(JSON.stringify(metrics().map(({ error_detail }) => error_detail))).not.toContain("secret");
    const sent = sites.http.requests.map(({ headers }) => headers);
    expect(JSON.stringify(sent)).not.toMatch(new RegExp(`${Buffer.from("user:secret").toString("base64")}|secret`));
  });

  it("check asks for a name in the TLS handshake, and for none where the host is an address", () => {
    const names = requestsOf(sites.tls, "/fine").map(({ serverName }) => serverName);
    expect(names.sort()).toEqual(["localhost", "localhost", undefined]);
  });

  it("check tells the earliest expiry on the path that was verified, else in what was sent", () => {
    const { expiry } = certificates;
    const expiries = Object.fromEntries(
      [...checked].flatMap(([name, { metric }]) =>
        metric.tls_expires_at === null ? [] : [[name, metric.tls_expires_at]]
      ),
    );
    // The path includes the root that this machine trusts, also where the server sends it.
    const verified = [
      "TLS",
      "TLS by address",
      "TLS at a name with umlauts",
      "TLS with the root sent along",
      "a redirect to TLS at another name",
      "a slow handshake",
      "a body without a length that is reset, over TLS",
      "reset without an answer, over TLS",
      "a redirect to TLS",
      "an RSA key of 2,048 bits",
      "an authority that serves",
      "an intermediate before and after it was renewed",
      "an expired certificate left over in what is sent",
      "32 certificates",
      "a wildcard",
      // The paths of these certificates are good, but their names are wrong.
      "a certificate for another name",
      "a certificate whose name is a common name",
      "a certificate whose address is written as a name",
      "a wildcard and its own domain",
      "a wildcard for two labels",
      "a wildcard for all of a top-level domain",
      "a wildcard for a part of a label",
    ];
    const refused = {
      "an expired certificate": expiry.expired,
      "an expired intermediate": expiry.expired,
      "33 certificates": expiry.crossed,
      "a certificate of next week": expiry.leaf,
      "a self-signed certificate": expiry.leaf,
      "a missing intermediate certificate": expiry.leaf,
      "a certificate of version 1": expiry.leaf,
      "a certificate signed with SHA-1": expiry.leaf,
      "a certificate for clients": expiry.leaf,
      "a certificate for signing alone": expiry.leaf,
      // Deno ends these handshakes without showing a certificate.
      ...(runtime === "node" && {
        "a critical extension that nobody knows": expiry.leaf,
        "an RSA key of 1,024 bits": expiry.leaf,
      }),
      "an expired root": expiry.leaf,
      "an intermediate signed with SHA-1": expiry.intermediate,
      "an intermediate whose key is short": expiry.intermediate,
      "an intermediate for mail": expiry.intermediate,
      "an intermediate that is no authority": expiry.intermediate,
      "a name that the intermediate may not sign for": expiry.intermediate,
    };
    expect(expiries).toEqual({
      ...Object.fromEntries(verified.map((name) => [name, expiry.authority])),
      "a self-signed certificate that is trusted": expiry.trustedSelf,
      "a self-signed authority that is trusted and serves": expiry.trustedAuthority,
      ...refused,
    });
  });

  it("check asks for the name that a redirect leads to, in the handshake and in the request", () => {
    expect(requestsOf(sites.tlsNamed, "/fine?redirected")).toMatchObject([
      { serverName: "named.test", headers: { host: `named.test:${sites.tlsNamed.port}` } },
    ]);
    expect(requestsOf(sites.tlsNamed, "/fine").map(({ serverName }) => serverName)).toEqual(["xn--mnchen-3ya.test"]);
  });

  it("check resolves a name once a hop, for both families at once", () => {
    const asked = (name: string) => world.nameServer.questions.filter((question) => question.split(" ")[0] === name);
    expect(asked("mail-only.test").sort()).toEqual(["mail-only.test A", "mail-only.test AAAA"]);
    expect(asked("rebinds.test")).toHaveLength(4);
    expect(asked("listed.test")).toEqual([]);
    expect(asked("localhost")).toEqual([]);
  });

  it("check sends nothing to an address that is blocked", () => {
    expect(Object.values(sites).flatMap((site) => requestsOf(site, "/fine?blocked"))).toEqual([]);
  });

  it("check trusts nobody but the system's authorities, unless it is told to", async () => {
    const stranger = new Certificates();
    const targets = ["tls", "tlsWithRoot", "tlsSelfSigned"].map((place) =>
      targetOf(place, `https://${world.places[place as "tls"]}/fine`)
    );
    const checked = await runChecks(runtime, orderOf(targets), "at-once", stranger.authorityFile);
    stranger[Symbol.dispose]();
    const details = [...checked].map(([name, { metric: { error, error_detail } }]) => [name, error, error_detail]);
    expect(details.toSorted()).toEqual([
      ["tls", "tls", "certificate's issuer is not known, or an intermediate certificate is missing"],
      ["tlsSelfSigned", "tls", "certificate is self-signed"],
      ["tlsWithRoot", "tls", "certificate's issuer is not trusted"],
    ]);
  });

  it("check shakes hands in full every time, and judges the certificate every time", async () => {
    const before = sites.tls.requests.length;
    // The checks run one after another. A session can be resumed only when the first check has
    // ended.
    const again = await runChecks(
      runtime,
      orderOf(
        ["first", "second"].flatMap((name) => [
          targetOf(`${name} good`, `https://${world.places.tls}/fine`),
          targetOf(`${name} bad`, `https://${world.places.tlsSelfSigned}/fine`),
        ]),
      ),
      "in-turn",
    );
    expect([...again.values()].map(({ metric: { error } }) => error).sort()).toEqual([null, null, "tls", "tls"]);
    expect(sites.tls.requests.slice(before).map(({ isResumed }) => isResumed)).toEqual([false, false]);
  });
});

/** A server refuses a check with an alert of Node's TLS. `tells` is the beginning of the detail. */
const REFUSALS: Readonly<Record<string, { readonly tls: TlsOptions; readonly tells: string }>> = {
  "wants a client certificate under TLS 1.3": {
    tls: { requestCert: true, minVersion: "TLSv1.3" },
    tells: "the server refuses the TLS connection: certificate_required",
  },
  "wants a client certificate under TLS 1.2": {
    tls: { requestCert: true, maxVersion: "TLSv1.2" },
    tells:
      "the server refuses the TLS connection: handshake_failure (no cipher in common, or it wants a client certificate",
  },
  "speaks another protocol within TLS": {
    tls: { ALPNProtocols: ["h2"] },
    tells: "the server refuses the TLS connection: no_application_protocol",
  },
  "speaks TLS 1.1 alone": {
    tls: { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
    tells: "the server refuses the TLS connection: protocol_version",
  },
  "chooses the numbers of the key exchange": {
    tls: { dhparam: "auto", ciphers: "DHE-RSA-AES128-GCM-SHA256", maxVersion: "TLSv1.2" },
    tells: "the server refuses the TLS connection: handshake_failure (no cipher in common",
  },
};
/** Node's TLS has these alerts. Deno's TLS lacks them. */
const NODE_ALONE: Readonly<Record<string, TlsOptions>> = {
  "CBC ciphers": { maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-SHA256" },
  "RSA key exchange": { maxVersion: "TLSv1.2", ciphers: "AES128-GCM-SHA256" },
  "P-521 key exchange under TLS 1.2": { maxVersion: "TLSv1.2", ecdhCurve: "P-521" },
  "P-521 key exchange under TLS 1.3": { minVersion: "TLSv1.3", ecdhCurve: "P-521" },
};
const DENO_LACKS = "; Deno's TLS has no CBC ciphers, no RSA key exchange and no P-521 key exchange, Node has)";
/**
 * Alerts by number (RFC 8446, section 6). A runtime has no words for a number that it does not
 * know.
 */
const ALERTS: Readonly<Record<number, string>> = {
  10: "unexpected_message",
  40: "handshake_failure",
  42: "bad_certificate",
  49: "access_denied",
  70: "protocol_version",
  71: "insufficient_security",
  80: "internal_error",
  90: "user_canceled",
  109: "missing_extension",
  112: "unrecognized_name",
  115: "unknown_psk_identity",
  116: "certificate_required",
  120: "no_application_protocol",
};

const both = (detail: string | null): Readonly<Record<Runtime, string | null>> => ({ node: detail, deno: detail });
const DENO_CANNOT = "certificate cannot be used by Deno's TLS: its key is none of RSA of 2048 to 8192 bits";

describe.each(RUNTIMES)("check of servers that refuse TLS under %s", (runtime) => {
  const detailsOf = async (places: Readonly<Record<string, number>>) => {
    const targets = Object.entries(places).map(([name, port]) => targetOf(name, `https://localhost:${port}/`));
    const checked = await runChecks(runtime, { names: {}, targets });
    return new Map([...checked].map(([name, { metric: { error, error_detail } }]) => [name, { error, error_detail }]));
  };

  it("check tells a server's refusal by the alert's name, also behind the handshake", async () => {
    await using stack = new AsyncDisposableStack();
    const places: Record<string, number> = {};
    for (const [name, { tls }] of Object.entries(REFUSALS)) {
      const ca = certificates.good.cert;
      const site = await openSite((socket) => socket.end(answer("200 OK")), {
        ...{ identity: certificates.rsa, tls: { ca, ...tls } },
      });
      places[name] = stack.use(site).port;
    }
    const details = await detailsOf(places);
    for (const [name, { tells }] of Object.entries(REFUSALS)) {
      expect(details.get(name)).toEqual({ error: "tls", error_detail: expect.stringContaining(tells) });
    }
  });

  it("check tells each alert by its name", async () => {
    await using stack = new AsyncDisposableStack();
    const places: Record<string, number> = {};
    for (const number of Object.keys(ALERTS)) {
      const alert = Buffer.of(21, 3, 3, 0, 2, 2, Number(number));
      const site = await openSite(() => {}, {
        onAccept: (socket) => !!socket.once("data", () => socket.end(alert)),
      });
      places[number] = stack.use(site).port;
    }
    const details = await detailsOf(places);
    for (const [number, name] of Object.entries(ALERTS)) {
      const { error, error_detail } = details.get(number) ?? {};
      expect([error, error_detail?.replace(/ \(.*/, "")]).toEqual([
        "tls",
        `the server refuses the TLS connection: ${name}`,
      ]);
    }
  });

  it("check shakes hands once more where a server wants to, and says that Deno's TLS cannot", async () => {
    await using site = await openSite((socket) => {
      // TLS 1.2 has a second handshake. In it a server asks for more than in the first one.
      (socket as TLSSocket).renegotiate(
        {},
        (error) => error === null ? socket.end(answer("200 OK")) : socket.destroy(),
      );
    }, { identity: certificates.rsa, tls: { maxVersion: "TLSv1.2" } });
    const { error, error_detail } = (await detailsOf({ site: site.port })).get("site") ?? {};
    if (runtime === "node") expect({ error, error_detail }).toEqual({ error: null, error_detail: null });
    else {
      expect({ error, error_detail }).toEqual({
        error: "tls",
        error_detail: "the server refuses the TLS connection: handshake_failure " +
          "(it may want to renegotiate, which Deno's TLS cannot, Node's can)",
      });
    }
  });

  it("check says what Deno's TLS lacks, where a server may want it", async () => {
    await using stack = new AsyncDisposableStack();
    const places: Record<string, number> = {};
    for (const [name, tls] of Object.entries(NODE_ALONE)) {
      const site = await openSite((socket) => socket.end(answer("200 OK")), { identity: certificates.rsa, tls });
      places[name] = stack.use(site).port;
    }
    const details = await detailsOf(places);
    for (const name of Object.keys(NODE_ALONE)) {
      expect(details.get(name)).toEqual(
        runtime === "node"
          ? { error: null, error_detail: null }
          : { error: "tls", error_detail: expect.stringContaining(DENO_LACKS) },
      );
    }
  });
});

/**
 * The failures of servers that send too much TLS. Where the server itself ends the handshake, each
 * runtime has its own words.
 */
const EXCESSES = {
  "tls-endless-handshake": {
    node: "the server's TLS handshake is longer than 80 KiB",
    deno: "TLS handshake failed: received unexpected handshake message: got HelloRequest when expecting Certificate",
  },
  "tls-handshake-crumbs": both("the server's TLS handshake comes in more than 500 records"),
  "tls-tickets": both("the server sends more than 256 KiB in TLS before the answer"),
  "tls-one-byte-records": both("the server sends more than 10000 TLS records"),
  "tls-many-certificates": both("the server's certificates are longer than 64 KiB"),
  "tls-many-names": both(null),
  "tls-rsa-16384": {
    node: "bits, more than 8192",
    deno: DENO_CANNOT,
  },
} as const satisfies Partial<Record<keyof typeof TLS_FLOODS, Readonly<Record<Runtime, string | null>>>>;

describe("check of servers that send too much of TLS", () => {
  const stack = new AsyncDisposableStack();
  const targets: Target[] = [];
  beforeAll(async () => {
    for (const name of Object.keys(EXCESSES) as (keyof typeof EXCESSES)[]) {
      const { port } = stack.use(await TLS_FLOODS[name](certificates));
      targets.push(targetOf(name, `https://localhost:${port}/`));
    }
  });
  afterAll(() => stack.disposeAsync());

  it.each(RUNTIMES)("check bounds what it takes, and says which bound it was, under %s", async (runtime) => {
    const checked = await runChecks(runtime, { names: {}, targets }, "in-turn");
    const told = [...checked].map(([name, { metric: { error, error_detail } }]) => [name, [error, error_detail]]);
    const expected = Object.entries(EXCESSES).map(([name, { [runtime]: detail }]) => [
      name,
      [detail === null ? null : "tls", detail && expect.stringContaining(detail)],
    ]);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(expected));
  });
});

describe.each(RUNTIMES)("check of many under %s", (runtime) => {
  it.each(
    ["http", "https"].flatMap((scheme) =>
      (Object.keys(BEHIND_THE_PAGE) as (keyof typeof BEHIND_THE_PAGE)[]).map((behind) => ({ scheme, behind }))
    ),
  )("check reads good pages of $scheme whole, however short its turns are, where the site $behind", async (how) => {
    const secure = how.scheme === "https" ? { identity: certificates.good } : {};
    await using site = await openSite(goodPage(how.behind), secure);
    const targets = GOOD_PATHS.map((path) =>
      targetOf(path, `${how.scheme}://localhost:${site.port}${path}`, { pattern: "THE END$" })
    );
    for (const manner of ["at-once", "in-short-turns"] as const) {
      const checked = await runChecks(runtime, { names: {}, targets }, manner);
      const told = [...checked].map(([name, { body, metric: { is_valid, error_detail } }]) => [
        name,
        { body, is_valid, error_detail },
      ]);
      expect(Object.fromEntries(told), manner).toEqual(
        Object.fromEntries(GOOD_PATHS.map((path) => [path, { body: GOOD_BODY, is_valid: true, error_detail: null }])),
      );
    }
  });

  it("check is not held up by 200 names that resolve slowly", async () => {
    const quick = 20;
    const { promise: allQuickAsked, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    await using site = await openSite((socket) => {
      if (++asked === quick) resolve();
      socket.end(answer("200 OK"));
    });
    // The name server answers no slow name before every quick host was asked for its page.
    await using nameServer = await openNameServer(async (name, type) => {
      if (name.startsWith("slow")) await allQuickAsked;
      return type === "A" ? { addresses: ["127.0.0.1"] } : {};
    });
    using folder = namesFolder({ resolver: "nameserver 127.0.0.1\noptions timeout:2 attempts:5\n" });
    const names = ["slow", "quick"].flatMap((kind) =>
      Array.from({ length: kind === "slow" ? 200 : quick }, (_, index) => `${kind}-${index}.test`)
    );
    const targets = names.map((name) => targetOf(name, `http://${name}:${site.port}/`, { timeout: 50 }));
    const checked = await runChecks(runtime, { names: { ...folder.paths, port: nameServer.port }, targets });
    const order = [...checked.values()];
    expect(order.map(({ metric: { error } }) => error)).toEqual(names.map(() => null));
    expect(order.slice(0, quick).map(({ name }) => name.startsWith("quick"))).toEqual(Array(quick).fill(true));
  });

  it("check stops at the cap of a body that unpacks to gigabytes, in memory as well", async () => {
    // 1 GiB of zeros in 1 MiB; each member of the gzip has 64 MiB.
    const bomb = Buffer.concat(Array<Buffer>(16).fill(gzipSync(Buffer.alloc(64 * MIB))));
    await using site = await openSite((socket) => socket.end(answer("200 OK", { "Content-Encoding": "gzip" }, bomb)));
    const targets = Array.from({ length: 9 }, (_, index) => targetOf(`${index}`, `http://127.0.0.1:${site.port}/`));
    const checked = await runChecks(runtime, { names: {}, targets }, "in-turn");
    const memory = [...checked.values()].map(({ memory }) => memory);
    expect([...checked.values()].map(({ metric: { error } }) => error)).toEqual(targets.map(() => null));
    expect(Math.max(...memory) - (memory[0] ?? 0)).toBeLessThan(128 * MIB);
  });
});

it("check rejects with the signal's reason when it is given up, and closes the connection", async () => {
  await using site = await openSite(() => {});
  const program = new AbortController();
  const checking = check(hostAt(`http://127.0.0.1:${site.port}/`), new Date(), options, program.signal);
  await vi.waitFor(() => expect(site.requests).toHaveLength(1));
  program.abort(new Error("the program ends"));
  await expect(checking).rejects.toThrow("the program ends");
  await vi.waitFor(() => expect(site.open).toBe(0));
});

it("check does not begin when it has been given up before", async () => {
  await using site = await openSite(() => {});
  const given = AbortSignal.abort(new Error("the program ends"));
  const url = `http://127.0.0.1:${site.port}/`;
  await expect(check(hostAt(url), new Date(), options, given)).rejects.toThrow("the program ends");
  expect(site.accepted).toBe(0);
});

it("check leaves nothing on the program's signal", async () => {
  await using site = await openSite((socket, { path }) =>
    socket.end(path === "/" ? answer("302 Found", { Location: "/fine" }) : answer("200 OK"))
  );
  const added = vi.spyOn(never, "addEventListener");
  const removed = vi.spyOn(never, "removeEventListener");
  await check(hostAt(`http://127.0.0.1:${site.port}/`), new Date(), options, never);
  expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(added.mock.calls.map(([, listener]) => listener));
});
