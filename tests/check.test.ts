import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { check } from "../lib/check.ts";
import type { Host } from "../lib/hosts.ts";
import type { Metric } from "../lib/metric.ts";
import { PHASES } from "../lib/check/stopwatch.ts";
import { Certificates } from "./support/certificates.ts";
import { CASES, phasesOf } from "./support/check_cases.ts";
import type { World } from "./support/check_cases.ts";
import { PAGES } from "./support/check_pages.ts";
import type { Checked, Target } from "./support/check_runner.ts";
import { RUNTIMES } from "./support/programs.ts";
import type { Runtime } from "./support/programs.ts";
import { answer, openSite, refusedPort } from "./support/site.ts";
import type { Page, Site } from "./support/site.ts";

const page: Page = (socket, request) => {
  const found = PAGES[request.path.split("?")[0] ?? ""];
  if (found === undefined) socket.end(answer("404 Not Found"));
  else found(socket, request);
};

const certificates = new Certificates();
afterAll(() => certificates[Symbol.dispose]());

/** All the sites that the cases need. */
async function openSites() {
  return {
    http: await openSite(page),
    ipv6: await openSite(page, { address: "::1" }),
    otherOrigin: await openSite(page),
    closesAtOnce: await openSite(page, { onAccept: (socket) => !!socket.end() }),
    speaksFirst: await openSite(page, { onAccept: (socket) => socket.write("SSH-2.0-Test\r\n") }),
    speaksPlainly: await openSite(page, {
      onAccept: (socket) => !!socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
    }),
    tls: await openSite(page, { identity: certificates.good }),
    tlsWithRoot: await openSite(page, { identity: certificates.withRoot }),
    tlsWithoutIntermediate: await openSite(page, { identity: certificates.withoutIntermediate }),
    tlsExpired: await openSite(page, { identity: certificates.expired }),
    tlsOtherName: await openSite(page, { identity: certificates.otherName }),
    tlsSelfSigned: await openSite(page, { identity: certificates.selfSigned }),
    tlsSilent: await openSite(page, { onAccept: () => true }),
  };
}

async function worldOf(sites: Awaited<ReturnType<typeof openSites>>): Promise<World> {
  const placed = Object.entries(sites).map(([name, site]) => {
    const host = name.startsWith("tls") ? "localhost" : name === "ipv6" ? "[::1]" : "127.0.0.1";
    return [name, `${host}:${site.port}`];
  });
  return { ...Object.fromEntries(placed), refused: `127.0.0.1:${await refusedPort()}` };
}

/** Checks `targets` in a process of the runtime that trusts the test's authority. */
async function runChecks(
  runtime: Runtime,
  targets: readonly Target[],
  order: "at-once" | "in-turn" = "at-once",
): Promise<ReadonlyMap<string, Metric>> {
  const script = fileURLToPath(new URL("support/check_runner.ts", import.meta.url));
  const [command, args] = runtime === "node"
    ? [process.execPath, ["--experimental-strip-types"]]
    : ["deno", ["run", "-A", "-q"]];
  const authority = runtime === "node" ? "NODE_EXTRA_CA_CERTS" : "DENO_CERT";
  const child = spawn(command, [...args, script, order], {
    env: { ...process.env, [authority]: certificates.authorityFile },
  });
  child.stdin.end(JSON.stringify(targets));
  const [output, problems] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(problems).toBe("");
  const checked = output.trimEnd().split("\n").map((line) => JSON.parse(line) as Checked);
  return new Map(checked.map(({ name, metric }) => [name, metric]));
}

/** A host with what a check reads of it. */
function hostAt(url: string, rest: Partial<Host> = {}): Host {
  return { address: url, url: new URL(url), authorization: null, pattern: null, ...rest } as Host;
}
const microseconds = (seconds: number | null) => Math.round((seconds ?? 0) * 1e6);
const options = { timeout: 10, location: null, userAgent: "check-test" };
const never = new AbortController().signal;

describe.each(RUNTIMES)("check under %s", (runtime) => {
  let sites: Awaited<ReturnType<typeof openSites>>;
  let world: World;
  let metrics: ReadonlyMap<string, Metric>;
  const metricOf = (name: string) => metrics.get(name) as Metric;
  const requestsOf = (site: Site, path: string) => site.requests.filter((request) => request.path === path);

  beforeAll(async () => {
    sites = await openSites();
    world = await worldOf(sites);
    const targets = Object.entries(CASES).map((
      [name, { url, authorization = null, pattern = null, timeout = 20 }],
    ) => ({
      ...{ name, url: url(world), authorization, pattern, timeout },
    }));
    metrics = await runChecks(runtime, targets);
  });
  afterAll(async () => {
    for (const site of Object.values(sites)) await site[Symbol.asyncDispose]();
  });

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
          typeof expected.detail === "string" ? expected.detail : expected.detail(world),
        );
      }
      expect(metric.error_detail === null).toBe(metric.error === null);
      expect(PHASES.map((phase) => microseconds(metric[`latency_${phase}`])).reduce((sum, part) => sum + part))
        .toBe(microseconds(metric.latency));
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

  it("check fills in the rest of the metric", () => {
    const metric = metricOf("a fine page");
    expect(metric).toMatchObject({
      address: `http://${world.http}/fine`,
      scheduled_at: "1970-01-01T00:00:00.000Z",
      location: "here",
      tls_expires_at: null,
    });
    expect(Math.abs(Date.parse(metric.checked_at ?? "") - Date.now())).toBeLessThan(600_000);
    expect(new Set([...metrics.values()].map(({ check_id }) => check_id)).size).toBe(metrics.size);
  });

  it("check sends one request a hop, never a second one in silence", () => {
    for (const path of ["/closes", "/resets", "/half-head", "/404", "/to-held-open"]) {
      expect(requestsOf(sites.http, path)).toHaveLength(1);
    }
    // Once for "10 redirects", and once for "11 redirects", whose last answer is the redirect from /hops/1.
    expect(requestsOf(sites.http, "/hops/1")).toHaveLength(2);
    expect(requestsOf(sites.http, "/hops/0")).toHaveLength(1);
    expect(requestsOf(sites.http, "/loop")).toHaveLength(11);
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
        host: world.http,
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
    expect(sent(sites.http, "/fine?credentials")).toEqual(["Basic c2VjcmV0"]);
    expect(sent(sites.http, "/to-fine?credentials")).toEqual(["Basic c2VjcmV0"]);
    expect(sites.http.requests.filter(({ headers }) => headers.authorization !== undefined)).toHaveLength(4);
    expect(sent(sites.otherOrigin, "/fine")).toEqual([undefined]);
  });

  it("check keeps a redirect's credentials to itself and sends them to nobody", () => {
    expect(JSON.stringify([...metrics.values()].map(({ error_detail }) => error_detail))).not.toContain("secret");
    expect(JSON.stringify(sites.http.requests.map(({ headers }) => headers))).not.toMatch(/dXNlcjpzZWNyZXQ|secret/);
  });

  it("check asks for a name in the TLS handshake, and for none where the host is an address", () => {
    const names = requestsOf(sites.tls, "/fine").map(({ serverName }) => serverName);
    expect(names.sort()).toEqual(["localhost", "localhost", undefined]);
  });

  it("check tells the earliest expiry in the chain that was sent, of refused certificates too", () => {
    const { expiry } = certificates;
    expect(Object.fromEntries(
      [...metrics].flatMap(([name, metric]) => metric.tls_expires_at === null ? [] : [[name, metric.tls_expires_at]]),
    )).toEqual({
      "TLS": expiry.intermediate,
      "TLS by address": expiry.intermediate,
      "a redirect to TLS": expiry.intermediate,
      "TLS with the root sent along": expiry.authority,
      "an expired certificate": expiry.expired,
      "a certificate for another name": expiry.leaf,
      "a self-signed certificate": expiry.leaf,
      "a missing intermediate certificate": expiry.leaf,
    });
  });

  it("check shakes hands in full every time, and judges the certificate every time", async () => {
    const target = { authorization: null, pattern: null, timeout: 20 };
    const before = sites.tls.requests.length;
    // In turn: a session can be resumed only once the first check has ended.
    const again = await runChecks(
      runtime,
      ["first", "second"].flatMap((name) => [
        { ...target, name: `${name} good`, url: `https://${world.tls}/fine` },
        { ...target, name: `${name} bad`, url: `https://${world.tlsSelfSigned}/fine` },
      ]),
      "in-turn",
    );
    expect([...again.values()].map(({ error }) => error).sort()).toEqual([null, null, "tls", "tls"]);
    expect(sites.tls.requests.slice(before).map(({ isResumed }) => isResumed)).toEqual([false, false]);
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
  await using site = await openSite(page);
  const added = vi.spyOn(never, "addEventListener");
  const removed = vi.spyOn(never, "removeEventListener");
  await check(hostAt(`http://127.0.0.1:${site.port}/to-fine`), new Date(), options, never);
  expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(added.mock.calls.map(([, listener]) => listener));
});
