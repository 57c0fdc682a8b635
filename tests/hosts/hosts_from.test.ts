import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { UsageError } from "../../lib/config/usage_error.ts";
import { hostsFrom } from "../../lib/hosts/hosts_from.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import type { References } from "../../lib/hosts/references.ts";
import { Random } from "../support/random.ts";

const folder = mkdtempSync(join(tmpdir(), "test-hosts-from-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);
/** The hosts file for a document, whose own path is left out. */
async function from(document: unknown, modules: unknown = null): Promise<string> {
  writeFileSync(path("given"), typeof document === "string" ? document : JSON.stringify(document));
  if (modules !== null) writeFileSync(path("modules"), stringify(modules));
  const text = await hostsFrom({ file: path("given"), modules: modules === null ? null : path("modules") });
  return text.replaceAll(`${folder}/`, "");
}
const lines = (...all: string[]) => all.map((line) => `${line}\n`).join("");
const problemsOf = async (document: unknown, modules: unknown = null) => {
  const error = await from(document, modules).catch((error: unknown) => error);
  if (!(error instanceof UsageError)) throw new Error(`no UsageError: ${error}`);
  return error.problems.map((problem) => problem.replaceAll(`${folder}/`, ""));
};

/** Each variable is set, to a text that tells which one it is. */
const REFERENCES: References = {
  variable: (name) => `<${name}>`,
  file: (path) => /\.pem$|\.crt$|\.key$/.test(path) ? { problem: "is not there" } : Buffer.from(`<${path}>`),
};
/** The hosts of a hosts file, whose TLS files need not be there. */
function hostsOf(text: string) {
  const { hosts, problems, warnings } = parseHosts(
    text.split("\n").filter((line) => !/^\| tls-(?:ca|cert|key) /.test(line)).join("\n"),
    "hosts.txt",
    "UTC",
    REFERENCES,
  );
  return { hosts, problems, warnings };
}
const SECRETS = ["s3cretpass", "t0psecret", "c00kie", "PRIVATE KEY"];

describe("of an Uptime Kuma backup", () => {
  const monitor = (name: string, more: object) => ({
    ...{ id: 1, name, url: `https://${name}.example/`, method: "GET", type: "http", interval: 60, active: 1 },
    ...{ maxredirects: 10, accepted_statuscodes: ["200-299"], timeout: 48, dns_resolve_type: "A", keyword: null },
    ...more,
  });

  it("hostsFrom makes a hosts file, with comments for what has no counterpart", async () => {
    const backup = {
      version: "1.23.16",
      notificationList: [{ id: 1, name: "mail", config: '{"smtpPassword":"s3cretpass"}' }],
      monitorList: [
        monitor("shop", {
          ...{ id: 7, type: "keyword", keyword: 'Price (now): $5 "', interval: 30, parent: 9, maxretries: 2 },
          tags: [{ name: "team", value: "web shop" }, { name: "in production", value: "" }],
        }),
        monitor("closed", { type: "keyword", keyword: "maintenance", invertKeyword: true, interval: 7200 }),
        monitor("orders", {
          ...{ method: "POST", body: '{\n  "ping": true\n}', headers: '{"X-Api-Key": "t0psecret", "Accept": "a/b"}' },
          ...{ accepted_statuscodes: ["200-299", "401"], maxredirects: 0, timeout: 5, ignoreTls: true },
        }),
        monitor("login", {
          ...{ method: "POST", body: "user=me&password=s3cretpass", httpBodyEncoding: "form", authMethod: "basic" },
          ...{ basic_auth_user: "me", basic_auth_pass: "s3cretpass", interval: 90 },
        }),
        monitor("inside", {
          ...{ authMethod: "mtls", tlsCert: "CERT", tlsKey: "-----BEGIN PRIVATE KEY-----", tlsCa: "CA" },
          ...{ proxyId: 3, cacheBust: true },
        }),
        monitor("old", { active: 0, type: "json-query", jsonPath: "$.a", expectedValue: "1" }),
        monitor("secret", { url: "https://me:s3cretpass@secret.example/?q" }),
        monitor("query", { url: "https://query.example/?api_key=t0psecret" }),
        monitor("again", { url: "https://shop.example/" }),
        monitor("db", { type: "postgres" }),
        monitor("", { name: null, type: "ping" }),
        { id: 9, name: "Front", type: "group" },
      ],
    };
    const text = await from(backup);
    expect(text).toBe(lines(
      "# 7 hosts of given (Uptime Kuma). A comment tells what has no counterpart here.",
      "#",
      "# Needed before the start:",
      '#   HOSTS_ORDERS_X_API_KEY: the value of the header X-Api-Key of "orders"',
      "#   HOSTS_LOGIN_AUTHORIZATION: user and password of \"login\": printf %s 'USER:PASSWORD' | base64 -w0 writes them as they are sent",
      '#   HOSTS_LOGIN_BODY: the body that is sent to "login"',
      "#   HOSTS_SECRET_AUTHORIZATION: user and password in the address of \"secret\": printf %s 'USER:PASSWORD' | base64 -w0 writes them as they are sent",
      '#   certs/inside-ca.pem: the authorities for "inside", a PEM file by its path from this file\'s folder',
      "#   certs/inside.pem: the client's certificate for \"inside\", a PEM file by its path from this file's folder",
      "#   certs/inside-key.pem: the client's key for \"inside\", a PEM file by its path from this file's folder",
      "#",
      "# Not taken over:",
      "#   db: a monitor of type postgres, no web site",
      "#   https://.example/: a monitor of type ping, no web site",
      "#   notificationList",
      "#   maxretries: each check is a row of its own, and none is made again",
      "",
      "# shop",
      'https://shop.example/ 30s Price \\(now\\): \\$5 "',
      "| status 200-299",
      "| timeout 48s",
      "| label name=shop",
      "| label group=Front",
      "| label team=web shop",
      "| label in_production=true",
      "",
      "# closed",
      "https://closed.example/ 2h",
      "| status 200-299",
      "| timeout 48s",
      "| absent maintenance",
      "| label name=closed",
      "",
      "# orders",
      "https://orders.example/ 1m",
      "| method POST",
      "| header Content-Type: application/json",
      "| header X-Api-Key: ${HOSTS_ORDERS_X_API_KEY}",
      "| header Accept: a/b",
      '| body { "ping": true }',
      "| status 200-299 401",
      "| timeout 5s",
      "| redirects 0",
      "| tls-verify off",
      "| label name=orders",
      "",
      "# login",
      "https://login.example/ 90s",
      "| method POST",
      "| header Content-Type: application/x-www-form-urlencoded",
      "| header Authorization: Basic ${HOSTS_LOGIN_AUTHORIZATION}",
      "| body ${HOSTS_LOGIN_BODY}",
      "| status 200-299",
      "| timeout 48s",
      "| label name=login",
      "",
      "# inside",
      "# no counterpart: proxyId: a check goes to the site itself",
      "# no counterpart: cacheBust",
      "https://inside.example/ 1m",
      "| status 200-299",
      "| timeout 48s",
      "| tls-ca certs/inside-ca.pem",
      "| tls-cert certs/inside.pem",
      "| tls-key certs/inside-key.pem",
      "| label name=inside",
      "",
      "# old",
      "# it is paused there: take the # away to have it checked",
      "# no counterpart: jsonPath and expectedValue: a REGEX may look at the JSON's text",
      "# https://old.example/ 1m",
      "# | status 200-299",
      "# | timeout 48s",
      "# | label name=old",
      "",
      "# secret",
      "https://secret.example/?q 1m",
      "| header Authorization: Basic ${HOSTS_SECRET_AUTHORIZATION}",
      "| status 200-299",
      "| timeout 48s",
      "| label name=secret",
      "",
      "# query: left out, for in its query api_key= looks like a secret, but an address is shown to everybody, in topic, table and log: write user:password@ in front of the host, if the site takes that, or ask for a page that needs no secret",
      "",
      "# again",
      "# another check of https://shop.example/: the fragment tells them apart",
      "https://shop.example/#2 1m",
      "| status 200-299",
      "| timeout 48s",
      "| label name=again",
    ));
    for (const secret of SECRETS) expect(text).not.toContain(secret);
    expect(hostsOf(text)).toMatchObject({ problems: [], warnings: [] });
  });

  it.each<[what: string, list: (monitors: readonly object[]) => unknown]>([
    ["a list alone", (monitors) => monitors],
    ["monitors by their number", (monitors) => Object.fromEntries(monitors.map((one, index) => [index + 1, one]))],
  ])("hostsFrom takes %s, as the program gives it to those who ask", async (_, list) => {
    const group = { id: 3, name: "Front", type: "group", url: "https://" };
    const text = await from(list([group, monitor("a", { parent: 3 }), { name: "b", type: "http", url: "b.example" }]));
    expect(text).toContain("# 2 hosts of given (Uptime Kuma).");
    expect(hostsOf(text).hosts.map(({ address, options }) => [address, options?.labels])).toEqual([
      ["https://a.example/", { name: "a", group: "Front" }],
      ["https://b.example", { name: "b" }],
    ]);
  });

  it.each([[{ timeout: undefined }], [{ timeout: 0 }], [{ timeout: null }]])(
    "hostsFrom takes four fifths of the interval for the timeout, as the program does, with %j",
    async (more) => {
      expect(await from({ monitorList: [monitor("a", { interval: 600, ...more })] })).toContain("\n| timeout 480s\n");
    },
  );

  it("hostsFrom writes what all hosts have once, before the first one", async () => {
    const text = await from({ monitorList: { 1: monitor("a", {}), 2: monitor("b", { timeout: 5 }) } });
    expect(text).toBe(lines(
      ...[
        "# 2 hosts of given (Uptime Kuma). A comment tells what has no counterpart here.",
        "",
        "| status 200-299",
        "",
      ],
      ...["# a", "https://a.example/ 1m", "| timeout 48s", "| label name=a", ""],
      ...["# b", "https://b.example/ 1m", "| timeout 5s", "| label name=b"],
    ));
  });

  it.each<[key: string, more: object, line: string]>([
    [
      "bearer",
      { authMethod: "bearer", bearer_token: "t0psecret" },
      "| header Authorization: Bearer ${HOSTS_A_AUTHORIZATION}",
    ],
    [
      "no method",
      { basic_auth_user: "me", basic_auth_pass: "s3cretpass" },
      "| header Authorization: Basic ${HOSTS_A_AUTHORIZATION}",
    ],
    [
      "ntlm",
      { authMethod: "ntlm", basic_auth_pass: "s3cretpass" },
      "# no counterpart: authMethod ntlm: a login of several steps",
    ],
    [
      "oauth",
      { authMethod: "oauth2-cc", oauth_client_secret: "t0psecret" },
      "# no counterpart: authMethod oauth2-cc: a login of several steps",
    ],
    [
      "upside down",
      { upsideDown: true },
      "# no counterpart: upsideDown: that a site answers is up here, whatever one wishes",
    ],
    [
      "a scheme in a header",
      { headers: '{"authorization": "bearer t0psecret"}' },
      "| header authorization: bearer ${HOSTS_A_AUTHORIZATION}",
    ],
    ["broken headers", { headers: "{t0psecret" }, "# no counterpart: headers, which are no JSON"],
    [
      "a header that is not sent",
      { headers: { Host: "b.example" } },
      "# header Host is left out, for the header Host is not sent, DOMAIN names the host: write it there",
    ],
    [
      "a header with a line end",
      { headers: { "X-A\n| body s3cretpass": "1" } },
      "# a header is left out, for its name is none that can be sent",
    ],
    ["a body with GET", { body: "s3cretpass" }, "# no counterpart: a body with GET"],
    [
      "a method",
      { method: "TRACE" },
      '# method is left out, for "TRACE" is no method that a check sends: write GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE, QUERY, PROPFIND, REPORT or SEARCH',
    ],
    ["a body with a reference", { method: "POST", body: "${HOSTS_NAME}" }, "| body $${HOSTS_NAME}"],
    ["a body with a long word", { method: "POST", body: '"A1b2C3d4E5f6G7h8"' }, "| body ${HOSTS_A_BODY}"],
    [
      "a label with a reference",
      { tags: [{ name: "x", value: "${HOSTS_NAME}" }] },
      "# label x is left out, for | label takes no reference: ${…} stands in header and body only",
    ],
    ["a keyword like a unit", { type: "keyword", keyword: "min" }, "https://a.example/ 1m (min)"],
    ["a keyword like a comment", { type: "keyword", keyword: "#1" }, "https://a.example/ 1m \\#1"],
    ["a keyword with blanks around it", { type: "keyword", keyword: " a\tb\n" }, "https://a.example/ 1m \\x20a\\tb\\n"],
    ["a keyword in quotes", { type: "keyword", keyword: '"a"' }, 'https://a.example/ 1m \\"a"'],
    ["a short interval", { interval: 0.5 }, "# it is checked more than once a second there"],
    ["no interval", { interval: null }, "https://a.example/ 1m"],
    ["many redirects", { maxredirects: 99 }, "| redirects 50"],
    ["a long timeout", { timeout: 4000.5 }, "| timeout 3600s"],
    ["a blank in the address", { url: "https://a.example/b c" }, "https://a.example/b%20c 1m"],
    ["no scheme", { url: "a.example" }, "https://a.example 1m"],
  ])("hostsFrom has a word for %s", async (_, more, line) => {
    const text = await from({ monitorList: [monitor("a", more)] });
    expect(text.split("\n")).toContain(line);
    for (const secret of SECRETS) expect(text).not.toContain(secret);
    expect(hostsOf(text)).toMatchObject({ problems: [], warnings: [] });
  });

  it("hostsFrom lets equal secrets share a variable", async () => {
    const headers = { "X-Key": "t0psecret" };
    const text = await from({
      monitorList: [
        monitor("a", { headers }),
        monitor("b", { headers }),
        monitor("c", { headers: { "X-Key": "s3cretpass" } }),
      ],
    });
    expect(text.match(/\$\{HOSTS_\w+\}/g)).toEqual(["${HOSTS_A_X_KEY}", "${HOSTS_A_X_KEY}", "${HOSTS_C_X_KEY}"]);
  });

  it("hostsFrom gives each secret a variable of its own, whatever the names are", async () => {
    const named = (name: string, key: string) =>
      monitor("a", { name, url: `https://${key}.example`, headers: { Key: key } });
    const text = await from({ monitorList: [named("Ä b", "1"), named("ö B", "2"), named("日本", "3")] });
    expect(text.match(/\$\{HOSTS_\w+\}/g)).toEqual(["${HOSTS_B_KEY}", "${HOSTS_B_KEY_2}", "${HOSTS_KEY}"]);
  });
});

describe("of a Gatus configuration", () => {
  it("hostsFrom makes a hosts file, with comments for what has no counterpart", async () => {
    const text = await from(`
x-defaults: &defaults
  group: core
  client: { timeout: 5s }
alerting: { slack: { webhook-url: "https://hooks.example/t0psecret" } }
external-endpoints: [{ name: push, token: t0psecret }]
endpoints:
  - <<: *defaults
    name: page
    url: https://page.example/
    interval: 1m30s
    conditions:
      - "[STATUS] < 300"
      - "[STATUS] != 204"
      - "[BODY] == pat(*<h1>a*b</h1>*)"
      - "[BODY] != pat(*maintenance*)"
      - "[RESPONSE_TIME] < 2500"
      - "[CONNECTED] == true"
      - "[CERTIFICATE_EXPIRATION] > 48h"
  - <<: *defaults
    name: api
    url: https://api.example/
    method: POST
    graphql: true
    body: "{ users { id } }"
    headers: { Authorization: "Bearer \${API_TOKEN}", X-Key: "a-\$KEY", X-Price: "5\$\$" }
    conditions: ["[STATUS] == any(200, 201)", "[BODY].a == 1", "[BODY] == \${WORD}"]
    client: { insecure: true, ignore-redirect: true, oauth2: { client-secret: t0psecret } }
    extra-labels: { team: shop }
    alerts: [{ type: slack }]
    ui: { hide-url: true }
  - { name: dns, url: 8.8.8.8, dns: { query-name: a.example }, conditions: ["[DNS_RCODE] == NOERROR"] }
  - { name: ping, url: "icmp://a.example", conditions: ["[CONNECTED] == true"] }
  - { name: where, url: "https://\${HOST}/", conditions: ["[STATUS] == 200"] }
  - { name: "off", enabled: false, url: "https://off.example", conditions: ["[STATUS] == pat(2*)"] }
`);
    expect(text).toBe(lines(
      "# 2 hosts of given (Gatus). A comment tells what has no counterpart here.",
      "#",
      "# Needed before the start:",
      "#   HOSTS_API_TOKEN: the variable API_TOKEN of Gatus",
      '#   HOSTS_CORE_API_X_KEY: the header X-Key of "core/api", with its variables put in',
      '#   HOSTS_CORE_API_X_PRICE: the value of the header X-Price of "core/api"',
      '#   HOSTS_CORE_API_BODY: the body that is sent to "core/api"',
      "#",
      "# Not taken over:",
      "#   dns: checked over dns, no web site",
      "#   ping: checked over icmp, no web site",
      "#   where: its address has a variable, which no host can have: write it out",
      "#   alerting",
      "#   external-endpoints: others check these",
      "#   alerts of endpoints",
      "",
      "# core/page",
      "# no counterpart: [CERTIFICATE_EXPIRATION] > 48h",
      "https://page.example/ 90s (?s)<h1>a.*b</h1>",
      "| status 200-203 205-299",
      "| timeout 2.5s",
      "| absent maintenance",
      "| label name=page",
      "| label group=core",
      "",
      "# core/api",
      "# no counterpart: [BODY].a == 1",
      "# no counterpart: a condition with a variable in it",
      "# no counterpart: ui",
      "# no counterpart: client oauth2",
      "https://api.example/ 1m",
      "| method POST",
      "| header Content-Type: application/json",
      "| header Authorization: Bearer ${HOSTS_API_TOKEN}",
      "| header X-Key: ${HOSTS_CORE_API_X_KEY}",
      "| header X-Price: ${HOSTS_CORE_API_X_PRICE}",
      "| body ${HOSTS_CORE_API_BODY}",
      "| status 200-201",
      "| timeout 10s",
      "| redirects 0",
      "| tls-verify off",
      "| label name=api",
      "| label group=core",
      "| label team=shop",
      "",
      "# off",
      "# it is paused there: take the # away to have it checked",
      "# https://off.example 1m",
      "# | status 200-299",
      "# | timeout 10s",
      "# | label name=off",
    ));
    for (const secret of SECRETS) expect(text).not.toContain(secret);
    expect(hostsOf(text)).toMatchObject({ problems: [], warnings: [] });
  });

  it.each<[conditions: string[], line: string]>([
    [["[STATUS] == 200", "[STATUS] == 201"], "| status 200-999"],
    [["[STATUS] >= 200", "[STATUS] <= 204"], "| status 200-204"],
    [["[STATUS] > 499"], "| status 500-999"],
    [["[STATUS] != any(404, 500)"], "| status 200-403 405-499 501-999"],
    [["[STATUS] == pat(20?)"], "| status 200-209"],
    [["[STATUS] == ok"], "# no counterpart: [STATUS] == ok"],
    [["[CONNECTED] == true"], "| status 200-999"],
    [["[BODY] == pong"], "https://a.example 1m ^pong$"],
    [["[BODY] == any(up, OK)"], "https://a.example 1m ^(?:up|OK)$"],
    [["[BODY] == pat(a?c*)"], "https://a.example 1m (?s)^a.c"],
    [["[BODY] == pat([a-z])"], "# no counterpart: [BODY] == pat([a-z])"],
    [["[BODY] == pat(*)"], "https://a.example 1m"],
    [["[BODY] == pat(*a*)", "[BODY] == pat(*b*)"], "# no counterpart: [BODY] == pat(*b*)"],
    [["len([BODY]) > 5"], "# no counterpart: len([BODY]) > 5"],
    [["[RESPONSE_TIME] < 500ms"], "| timeout 500ms"],
    [["[RESPONSE_TIME] > 5"], "# no counterpart: [RESPONSE_TIME] > 5"],
  ])("hostsFrom understands the conditions %j", async (conditions, line) => {
    const text = await from({ endpoints: [{ name: "a", url: "https://a.example", conditions }] });
    expect(text.split("\n")).toContain(line);
    expect(hostsOf(text)).toMatchObject({ problems: [] });
  });
});

describe("of Prometheus and the blackbox_exporter", () => {
  const modules = {
    modules: {
      login: {
        prober: "http",
        timeout: "5s",
        http: {
          ...{ method: "POST", valid_status_codes: [200, 401], headers: { Accept: "a/b" }, body_file: "body.json" },
          ...{
            basic_auth: { username: "me", password: "s3cretpass" },
            follow_redirects: false,
            body_size_limit: "64KB",
          },
          fail_if_body_not_matches_regexp: ["(?i)sign in ", "second"],
          fail_if_body_matches_regexp: ["closed", "down"],
          tls_config: { ca_file: "/certs/ca.crt", server_name: "www.example.com" },
          fail_if_not_ssl: true,
        },
      },
      token: { prober: "http", http: { authorization: { credentials_file: "secrets/token" } } },
      ping4: { prober: "icmp" },
    },
  };

  it("hostsFrom makes a hosts file, with the modules and the files of targets", async () => {
    mkdirSync(path("targets"), { recursive: true });
    writeFileSync(
      path("targets/a.json"),
      JSON.stringify([{ targets: ["https://c.example"], labels: { team: "shop" } }]),
    );
    writeFileSync(path("targets/b.yml"), "- targets: [d.example:8080]\n  labels: { __param_module: ping4 }\n");
    const text = await from(
      stringify({
        global: { scrape_interval: "15s" },
        scrape_configs: [
          { job_name: "node", static_configs: [{ targets: ["a.example:9100"] }] },
          {
            ...{ job_name: "sites", metrics_path: "/probe", params: { module: ["http_2xx"] }, scrape_interval: "1m" },
            static_configs: [{ targets: ["https://me:s3cretpass@a.example/", "b.example"], labels: { place: "here" } }],
            file_sd_configs: [{ files: ["targets/*.json", "targets/b.yml", "/none/*.yml"] }],
            dns_sd_configs: [{ names: ["e.example"] }],
          },
          {
            ...{ job_name: "login", params: { module: ["login"] }, scrape_timeout: "3s" },
            static_configs: [{ targets: ["f.example"] }],
            relabel_configs: [
              { source_labels: ["__address__"], target_label: "__param_target", replacement: "https://$1/login" },
            ],
          },
          { job_name: "token", params: { module: ["token"] }, static_configs: [{ targets: ["https://g.example"] }] },
          { job_name: "own", params: { module: ["own"] }, static_configs: [{ targets: ["https://h.example"] }] },
          { job_name: "icmp", params: { module: ["icmp"] }, static_configs: [{ targets: ["1.1.1.1"] }] },
        ],
      }),
      modules,
    );
    expect(text).toBe(
      lines(
        "# 6 hosts of given (Prometheus). A comment tells what has no counterpart here.",
        "#",
        "# Needed before the start:",
        "#   HOSTS_A_EXAMPLE_AUTHORIZATION: user and password in the address of \"…@a.example/\": printf %s 'USER:PASSWORD' | base64 -w0 writes them as they are sent",
        "#   HOSTS_F_EXAMPLE_AUTHORIZATION: user and password of the module login: printf %s 'USER:PASSWORD' | base64 -w0 writes them as they are sent",
        '#   /certs/ca.crt: the authorities for "https://f.example/login", a PEM file by its path from this file\'s folder',
        "#",
        "# Not taken over:",
        "#   job node: Prometheus asks its targets for figures, no site is probed",
        "#   job sites: its targets in /none/*.yml, where nothing can be read here",
        "#   job sites: dns_sd_configs: the targets are found while it runs",
        "#   job sites: d.example:8080: prober icmp, no web site",
        "#   job icmp: 1.1.1.1: module icmp, no web site",
        "",
        "# …@a.example/",
        "https://a.example/ 1m",
        "| header Authorization: Basic ${HOSTS_A_EXAMPLE_AUTHORIZATION}",
        "| status 200-299",
        "| label job=sites",
        "| label place=here",
        "",
        "# b.example",
        "http://b.example 1m",
        "| status 200-299",
        "| label job=sites",
        "| label place=here",
        "",
        "# https://c.example",
        "https://c.example 1m",
        "| status 200-299",
        "| label job=sites",
        "| label team=shop",
        "",
        "# https://f.example/login",
        "# no counterpart: a second fail_if_body_not_matches_regexp",
        "# no counterpart: fail_if_not_ssl",
        "https://f.example/login 15s (?i)sign in\\x20",
        "| method POST",
        "| header Accept: a/b",
        "| header Authorization: Basic ${HOSTS_HTTPS_F_EXAMPLE_LOGIN_AUTHORIZATION}",
        "| body ${file:body.json}",
        "| status 200 401",
        "| timeout 3s",
        "| redirects 0",
        "| absent (?:closed)|(?:down)",
        "| max-body 65536",
        "| tls-ca /certs/ca.crt",
        "| tls-name www.example.com",
        "| label job=login",
        "",
        "# https://g.example",
        "https://g.example 15s",
        "| header Authorization: Bearer ${file:secrets/token}",
        "| status 200-299",
        "| label job=token",
        "",
        "# https://h.example",
        "# no counterpart: the module own: name its file behind that of the targets, or write options",
        "https://h.example 15s",
        "| status 200-299",
        "| label job=own",
      ).replace("HOSTS_F_EXAMPLE_AUTHORIZATION", "HOSTS_HTTPS_F_EXAMPLE_LOGIN_AUTHORIZATION"),
    );
    for (const secret of SECRETS) expect(text).not.toContain(secret);
    expect(hostsOf(text)).toMatchObject({ problems: [], warnings: [] });
  });

  const scraped = (...jobs: object[]) => stringify({ scrape_configs: jobs });
  const rule = (source: string, target: string, more: object = {}) => ({
    ...{ source_labels: [source], target_label: target },
    ...more,
  });

  it("hostsFrom takes the module that a label of the targets names", async () => {
    const text = await from(
      scraped({
        ...{ job_name: "sites", metrics_path: "/probe" },
        static_configs: [
          { targets: ["https://a.example"], labels: { module: "posts" } },
          { targets: ["1.1.1.1"], labels: { module: "ping4" } },
        ],
        relabel_configs: [rule("__address__", "__param_target"), rule("module", "__param_module")],
      }),
      { modules: { posts: { prober: "http", http: { method: "POST" } }, ping4: { prober: "icmp" } } },
    );
    expect(text).toContain("#   job sites: 1.1.1.1: prober icmp, no web site\n");
    expect(text).toContain("https://a.example 1m\n| method POST\n");
    expect(hostsOf(text).hosts).toHaveLength(1);
  });

  it("hostsFrom says that a rule with a regex names the module", async () => {
    const text = await from(scraped({
      ...{ job_name: "sites", metrics_path: "/probe", static_configs: [{ targets: ["https://a.example"] }] },
      relabel_configs: [rule("__address__", "__param_module", { regex: "(.*);.*" })],
    }));
    expect(text).toContain("#   job sites: a regex of relabel_configs, which names the module: http_2xx is taken\n");
  });

  it("hostsFrom takes no job for a probe of sites whose path is that of another exporter", async () => {
    const problems = await problemsOf(scraped({
      ...{ job_name: "switches", metrics_path: "/snmp", params: { module: ["if_mib"] } },
      static_configs: [{ targets: ["192.0.2.1"] }],
      relabel_configs: [rule("__address__", "__param_target")],
    }));
    expect(problems).toContain("  job switches: Prometheus asks its targets for figures, no site is probed");
  });

  it("hostsFrom says where a job goes to another port than the blackbox_exporter's", async () => {
    const job = (name: string, replacement: string) => ({
      ...{ job_name: name, metrics_path: "/probe", static_configs: [{ targets: [`https://${name}.example`] }] },
      relabel_configs: [rule("__address__", "__param_target"), { target_label: "__address__", replacement }],
    });
    const text = await from(scraped(
      ...[job("json", "localhost:7979"), job("usual", "[::1]:9115"), job("behind", "blackbox.example")],
    ));
    expect(text.match(/^#.*localhost.*$/gm)).toEqual([
      "#   job json: it goes to localhost:7979: is that a blackbox_exporter, which usually has the port 9115?",
    ]);
    expect(text).not.toMatch(/job (?:usual|behind):/);
  });

  it("hostsFrom takes the target that a job's parameters name, and not the exporter that is asked", async () => {
    const text = await from(scraped({
      ...{ job_name: "one", metrics_path: "/probe", params: { module: ["http_2xx"], target: ["https://a.example"] } },
      static_configs: [{ targets: ["blackbox:9115"], labels: { team: "shop" } }],
    }));
    expect(hostsOf(text).hosts.map(({ address }) => address)).toEqual(["https://a.example"]);
    expect(text).toContain("| label team=shop");
  });

  it("hostsFrom takes a list of targets", async () => {
    const text = await from([{ targets: ["https://a.example", "b.example"], labels: { env: "prod", __meta_x: "y" } }]);
    expect(text).toBe(lines(
      ...["# 2 hosts of given (Prometheus). A comment tells what has no counterpart here.", "#", "# Not taken over:"],
      ...["#   a list of targets says no interval: one minute is written", "", "| status 200-299", ""],
      ...["# https://a.example", "https://a.example 1m", "| label env=prod", ""],
      ...["# b.example", "http://b.example 1m", "| label env=prod"],
    ));
  });
});

describe("hostsFrom refuses", () => {
  it.each<[what: string, document: unknown, problem: string]>([
    [
      "what it does not know",
      { a: 1 },
      "given: write an Uptime Kuma backup (monitorList), a list of its monitors, a Gatus configuration (endpoints), a configuration of Prometheus (scrape_configs) or a list of its targets",
    ],
    [
      "modules alone",
      { modules: {} },
      "given: the blackbox_exporter's modules name no targets: write an Uptime Kuma backup",
    ],
    ["a text", "hello", "given: write an Uptime Kuma backup"],
    ["nothing", "", "given: write an Uptime Kuma backup"],
    ["broken YAML", "a: b\nc: [t0psecret", "given:2:14: is no YAML ("],
    ["broken JSON", '{"monitorList": [{"basic_auth_pass": "t0psecret"}', "given:1:50: is no YAML ("],
    ["YAML with a key twice", "a: 1\na: t0psecret", "given:2:1: is no YAML (duplicate key), and the file no JSON"],
    ["a name of nothing", "a: *t0psecret", "given: uses a value that it does not name"],
  ])("%s, without its content", async (_, document, problem) => {
    const problems = await problemsOf(document);
    expect(problems[0]).toContain(problem);
    expect(problems.join()).not.toContain("t0psecret");
  });

  it("a file of modules without any", async () => {
    expect(await problemsOf([{ targets: ["a.example"] }], { prober: "http" })).toEqual([
      "modules: has no modules: name the configuration of the blackbox_exporter behind --from FILE",
    ]);
  });

  it("a file that cannot be read", async () => {
    await expect(hostsFrom({ file: path("none"), modules: null })).rejects.toThrow(/none: cannot be read \(ENOENT\)/);
  });

  it("a file without a web site, and says why", async () => {
    expect(await problemsOf({ endpoints: [{ name: "a", url: "icmp://a.example" }, { name: "b", url: "https://" }] }))
      .toEqual([
        "given: no web site is checked there",
        ...["Not taken over:", "  a: checked over icmp, no web site"],
        "b: left out, for https:// names no host: write a DOMAIN such as example.com or https://example.com/health",
      ]);
  });
});

const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const PIECES = [
  ...["a", "ok", "5m", "min", " ", "  ", "\t", "\n", "\r\n", "\0", "\uFFFD", "\uD800", "\u202E", "\u200B", "😀", "ß"],
  ...["${HOSTS_X}", "${file:/etc/passwd}", "$${", "$", "{", "}", "#", "|", "| body x", "\n| body x", "\n# x", '"', "'"],
  ...[
    "(",
    ")",
    "[",
    "]",
    "\\",
    "\\Q",
    "^",
    "$",
    ".*",
    "?",
    "/",
    "//",
    "@",
    ":",
    "https://",
    "a.example",
    "%",
    "+",
    ",",
  ],
  ...["(?i)", "(?<=a)", "a{1001}", "*/5 * * * *", "200", "401-200", "x".repeat(300), "true", "-1", "1e400"],
];

describe(`whatever another program's file holds (seed ${SEED})`, () => {
  const random = new Random(SEED);
  const word = () => Array.from({ length: random.between(0, 4) }, () => random.pick(PIECES)).join("");
  const anything = (): unknown =>
    random.pick([
      word,
      word,
      word,
      () => null,
      () => random.between(-5, 5000),
      () => true,
      () => [word()],
      () => ({ [word()]: word() }),
    ])();
  const address = () =>
    random.pick(["https://a.example/", "http://b.example", "https://me:S3CRET@c.example/x", "d.example"]) +
    random.pick(["", "", "", word()]);
  const secret = () => `S3CRET${word()}`;
  const body = () => `password=${secret()}`;
  const some = (...keys: readonly (readonly [string, () => unknown])[]) =>
    Object.fromEntries(keys.filter(() => random.next() < 0.5).map(([key, value]) => [key, value()]));

  const monitor = () => ({
    name: word(),
    type: random.pick(["http", "keyword", "keyword", "json-query", "ping", word()]),
    url: address(),
    ...some(
      ...([
        "interval",
        "timeout",
        "maxredirects",
        "accepted_statuscodes",
        "keyword",
        "tags",
        "active",
        "method",
      ] as const)
        .map((key) => [key, anything] as const),
      ...[["method", () => random.pick(["POST", "HEAD", "GET"])], ["keyword", word], ["body", body], [
        "basic_auth_pass",
        secret,
      ]] as const,
      ...[["authMethod", () => random.pick(["basic", "mtls", "bearer", "ntlm"])], ["bearer_token", secret]] as const,
      ...[["tlsKey", secret], ["tlsCert", secret], [
        "headers",
        () => ({ [word() || "X"]: secret(), Accept: word() }),
      ]] as const,
      ...[["tags", () => [{ name: word(), value: word() }]], ["ignoreTls", anything], [
        "invertKeyword",
        anything,
      ]] as const,
    ),
  });
  const endpoint = () => ({
    name: word(),
    url: address(),
    conditions: Array.from(
      { length: 3 },
      () =>
        `${random.pick(["[STATUS]", "[BODY]", "[RESPONSE_TIME]", word()])} ${random.pick(["==", "!=", "<"])} ${
          random.pick([word(), `pat(*${word()}*)`, `any(${word()}, 200)`, "200"])
        }`,
    ),
    ...some(
      ...["group", "interval", "enabled", "client", "extra-labels", "graphql", "method"].map((key) =>
        [key, anything] as const
      ),
      ...[["method", () => "POST"], ["body", body], [
        "headers",
        () => ({ [word() || "X"]: secret(), "X-Y": "Basic S3CRET" }),
      ]] as const,
      ...[[
        "client",
        () => ({ timeout: word(), tls: { "certificate-file": word(), "private-key-file": word() } }),
      ]] as const,
    ),
  });
  const group = () => ({
    targets: [address(), word()],
    labels: { [word()]: word(), __param_module: random.pick(["m", word()]) },
  });
  const module = () => ({
    prober: random.pick(["http", "http", "http", word()]),
    timeout: anything(),
    http: some(
      ...["method", "valid_status_codes", "body_size_limit", "follow_redirects", "body_file"].map((key) =>
        [key, anything] as const
      ),
      ...[["fail_if_body_matches_regexp", () => [word(), word()]], [
        "fail_if_body_not_matches_regexp",
        () => [word()],
      ]] as const,
      ...[["basic_auth", () => ({ username: word(), password: secret() })], ["bearer_token", secret], [
        "body",
        secret,
      ]] as const,
      ...[[
        "tls_config",
        () => ({ ca_file: word(), cert_file: word(), key_file: word(), server_name: word() }),
      ]] as const,
      ...[["authorization", () => ({ type: word(), credentials: secret(), credentials_file: word() })]] as const,
      ...[["http_headers", () => ({ [word()]: { values: [secret()], files: [word()] } })]] as const,
    ),
  });
  const several = <T>(make: () => T) => Array.from({ length: random.between(1, 4) }, make);

  it("the outcome is a hosts file without a mistake and without a secret", async () => {
    let hosts = 0;
    for (let round = 0; round < 600; round++) {
      const [document, modules] = random.pick<() => [unknown, unknown]>([
        () => [{ monitorList: several(monitor) }, null],
        () => [{ endpoints: several(endpoint) }, null],
        () => [several(group), { modules: { m: module() } }],
        () => [
          {
            scrape_configs: several(() => ({
              ...{ job_name: word(), params: { module: "m" }, static_configs: several(group), scrape_interval: word() },
              relabel_configs: [{ source_labels: "__address__", target_label: "__param_target", replacement: word() }],
            })),
          },
          { modules: { m: module() } },
        ],
      ])();
      const text = await from(document, modules).catch((error: unknown) => {
        if (!(error instanceof UsageError)) throw error;
        return error.message;
      });
      const shown = { document: JSON.stringify(document), modules: JSON.stringify(modules), text };
      expect(text.includes("S3CRET"), JSON.stringify(shown)).toBe(false);
      if (!/^# \d+ hosts? of /.test(text)) continue;
      const read = hostsOf(text);
      expect({ ...shown, problems: read.problems }).toEqual({ ...shown, problems: [] });
      expect(Number(/\d+/.exec(text)?.[0])).toBe(read.hosts.length);
      hosts += read.hosts.length;
      for (const { options } of read.hosts) {
        expect((options?.headers ?? []).map(({ value }) => value).join()).not.toContain("</etc/passwd");
      }
    }
    expect(hosts).toBeGreaterThan(300);
  });

  it("a keyword becomes a REGEX that finds just that", async () => {
    let found = 0;
    for (let round = 0; round < 300; round++) {
      const keyword = word().toWellFormed().replaceAll("\0", "");
      if (keyword === "") continue;
      const text = await from({ monitorList: [{ name: "a", type: "keyword", url: "a.example", keyword }] });
      const { hosts: [host] } = hostsOf(text);
      if (keyword.length > 1000) continue;
      const page = `begin${keyword}end`;
      expect({ keyword, source: host?.pattern?.source, found: host?.pattern?.test(page) }).toMatchObject({
        found: true,
      });
      expect(host?.pattern?.test(page.replace(keyword, `${keyword.slice(0, -1)}\u0001`))).toBe(false);
      found++;
    }
    expect(found).toBeGreaterThan(100);
  });
});
