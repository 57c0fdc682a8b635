import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Metric } from "../../lib/metric.ts";
import { Certificates } from "../support/certificates.ts";
import type { Checked, Target } from "../support/check_runner.ts";
import { namesFolder } from "../support/resolver_folder.ts";
import { COMMANDS, runScript, trusting } from "../support/runtimes.ts";
import { answer, openSite, type Page, type Site } from "../support/site.ts";

// The options for TLS on real sockets, under both runtimes, which trust none of the authorities here.

const certificates = new Certificates();
const folder = mkdtempSync(join(tmpdir(), "test-host-tls-"));
afterAll(() => {
  certificates[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
const file = (name: string, content: string) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const clientFile = file("client.pem", certificates.forClients.key + certificates.forClients.cert);
const strangerFile = file("stranger.pem", certificates.selfSigned.key + certificates.selfSigned.cert);
const otherAuthorityFile = file("other.pem", certificates.trustedAuthority.cert);
const CA = `| tls-ca ${certificates.authorityFile}`;
const client = (path: string) => [CA, `| tls-cert ${path}`, `| tls-key ${path}`];

const page: Page = (socket, { path }) => {
  const target = path.startsWith("/to/") ? decodeURIComponent(path.slice(4)) : null;
  socket.end(target === null ? answer("200 OK") : answer("302 Found", { Location: target }));
};
const openSites = async () => ({
  good: await openSite(page, { identity: certificates.good }),
  named: await openSite(page, { identity: certificates.named }),
  selfSigned: await openSite(page, { identity: certificates.selfSigned }),
  expired: await openSite(page, { identity: certificates.expired }),
  mutual: await openSite(page, {
    identity: certificates.good,
    tls: { requestCert: true, rejectUnauthorized: true, ca: certificates.authority },
  }),
});
type Sites = Awaited<ReturnType<typeof openSites>>;

/** A check: where, the options, and what comes of it. */
interface Case {
  readonly url: (sites: Sites) => string;
  readonly options: readonly string[];
  readonly expected: Partial<Metric>;
}

const at = (site: Site, path = "/", name = "localhost") => `https://${name}:${site.port}${path}`;
const UP = { up: true, status_code: 200, error: null } as const;
const refused = (detail: string) => ({ up: false, status_code: null, error: "tls", error_detail: detail }) as const;
const UNKNOWN = "certificate's issuer is not known, or an intermediate certificate is missing";
const MISNAMED = "certificate is not for localhost (it is for named.test, xn--mnchen-3ya.test)";
const WANTED = expect.stringMatching(
  /^the server refuses the TLS connection: (?:certificate_required|handshake_failure)/,
);

const CASES: Readonly<Record<string, Case>> = {
  "a private authority": {
    url: ({ good }) => at(good),
    options: [CA],
    expected: { ...UP, tls_expires_at: certificates.expiry.authority },
  },
  "a private authority that nobody names": { url: ({ good }) => at(good), options: [], expected: refused(UNKNOWN) },
  "another authority than that of the certificate": {
    url: ({ good }) => at(good),
    options: [`| tls-ca ${otherAuthorityFile}`],
    expected: refused(UNKNOWN),
  },
  "an expired certificate of a private authority": {
    url: ({ expired }) => at(expired),
    options: [CA],
    expected: refused("certificate has expired"),
  },
  "a name that the certificate lacks": { url: ({ named }) => at(named), options: [CA], expected: refused(MISNAMED) },
  "another name than the DOMAIN's": {
    url: ({ named }) => at(named),
    options: [CA, "| tls-name Named.test"],
    expected: UP,
  },
  "a name with umlauts": { url: ({ named }) => at(named), options: [CA, "| tls-name münchen.test"], expected: UP },
  "a name for an address": {
    url: ({ named }) => at(named, "/", "127.0.0.1"),
    options: [CA, "| tls-name named.test"],
    expected: UP,
  },
  "a name that is not that of the place to which the host redirects": {
    url: ({ named, good }) => at(named, `/to/${encodeURIComponent(at(good, "/", "127.0.0.1"))}`),
    options: [CA, "| tls-name named.test"],
    expected: UP,
  },
  "a self-signed certificate that is not verified": {
    url: ({ selfSigned }) => at(selfSigned),
    options: ["| tls-verify off"],
    expected: { ...UP, tls_expires_at: certificates.expiry.leaf },
  },
  "an expired certificate that is not verified": {
    url: ({ expired }) => at(expired),
    options: ["| tls-verify off"],
    expected: { ...UP, tls_expires_at: certificates.expiry.expired },
  },
  "a self-signed certificate": {
    url: ({ selfSigned }) => at(selfSigned),
    options: ["| tls-verify on", "| timeout 20"],
    expected: refused("certificate is self-signed"),
  },
  "a client's certificate": { url: ({ mutual }) => at(mutual), options: client(clientFile), expected: UP },
  "no client's certificate": { url: ({ mutual }) => at(mutual), options: [CA], expected: refused(WANTED) },
  "a client's certificate that the server does not know": {
    url: ({ mutual }) => at(mutual),
    options: client(strangerFile),
    // The server closes the connection without a word.
    expected: { up: false, status_code: null },
  },
  "a client's certificate without verification of the server's": {
    url: ({ mutual }) => at(mutual),
    options: ["| tls-verify off", ...client(clientFile).slice(1)],
    expected: UP,
  },
  "a client's certificate behind a redirect to the same host": {
    url: ({ good, mutual }) => at(good, `/to/${encodeURIComponent(at(mutual))}`),
    options: client(clientFile),
    expected: UP,
  },
  "a client's certificate that another host does not get": {
    url: ({ good, mutual }) => at(good, `/to/${encodeURIComponent(at(mutual, "/", "127.0.0.1"))}`),
    options: client(clientFile),
    expected: { up: false, error: "tls", error_detail: WANTED },
  },
};

/** Another value of each option, for all hosts, before which a host's own goes. */
const OTHERS: Readonly<Record<string, string>> = {
  "tls-ca": `| tls-ca ${otherAuthorityFile}`,
  "tls-cert": `| tls-cert ${strangerFile}`,
  "tls-key": `| tls-key ${strangerFile}`,
  "tls-name": "| tls-name other.test",
};
const othersOf = (options: readonly string[]) =>
  options.flatMap((option) => {
    if (option.startsWith("| tls-verify ")) return [`| tls-verify ${option.endsWith("on") ? "off" : "on"}`];
    return OTHERS[/^\| ([\w-]+)/.exec(option)?.[1] ?? ""] ?? [];
  });
/** Where the options of a case stand: the text of its hosts file. */
const FORMS: Readonly<Record<string, (host: string, options: readonly string[]) => readonly string[]>> = {
  "at the host": (host, options) => [host, ...options],
  "before all hosts": (host, options) => [...options, host],
  "at the host, against those of all": (host, options) => [...othersOf(options), host, ...options],
};
const TARGETS = Object.entries(CASES).flatMap(([name, given]) =>
  Object.entries(FORMS).map(([form, lines]) => ({ ...given, name: `${name}, ${form}`, lines }))
);

describe.each(COMMANDS.filter(({ missing }) => missing === null))("TLS with options under $runtime", ({ command }) => {
  let sites: Sites;
  let names: ReturnType<typeof namesFolder>;
  const run = async (targets: readonly Target[], env: Record<string, string> = {}) => {
    const found = await runScript<Checked>(command, "check_runner.ts", { names: names.paths, targets }, env);
    return new Map(found.map(({ name, metric }) => [name, metric]));
  };
  let checked: ReadonlyMap<string, Metric>;

  beforeAll(async () => {
    [sites, names] = [await openSites(), namesFolder({ hosts: "127.0.0.1 localhost\n", resolver: "" })];
    checked = await run(
      TARGETS.map(({ name, url, options, lines }) => {
        return { name, line: lines(`${url(sites)} 1h`, options).join("\n"), timeout: 20, blocked: null };
      }),
    );
  });
  afterAll(async () => {
    names[Symbol.dispose]();
    await Promise.all(Object.values(sites).map((site) => site[Symbol.asyncDispose]()));
  });

  it.each(TARGETS)("check does as it is told: $name", ({ name, expected }) => {
    expect(checked.get(name)).toMatchObject(expected);
  });

  it("check asks for the name that it is told, and for none elsewhere", () => {
    const asked = (site: Site) => new Set(site.requests.map(({ serverName }) => serverName));
    expect(asked(sites.named)).toEqual(new Set(["named.test", "xn--mnchen-3ya.test"]));
    expect(asked(sites.good)).toEqual(new Set(["localhost", undefined]));
  });

  it("check resumes no TLS session, whatever the options are", () => {
    for (const site of Object.values(sites)) expect(site.requests.filter(({ isResumed }) => isResumed)).toEqual([]);
  });

  it("check trusts the authorities of the option instead of the runtime's", async () => {
    const target = { timeout: 20, blocked: null, line: `${at(sites.good)} 1h` };
    const found = await run([
      { ...target, name: "usual" },
      { ...target, name: "own", line: `${target.line}\n| tls-ca ${otherAuthorityFile}` },
    ], trusting(certificates.authorityFile));
    expect(found.get("usual")).toMatchObject(UP);
    expect(found.get("own")).toMatchObject(refused(UNKNOWN));
  });
});
