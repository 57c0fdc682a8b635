import { expect, it } from "vitest";
import { dueTimes } from "../../lib/hosts/due_times.ts";
import { areSameOptions, type HostOptions, type HostTls } from "../../lib/hosts/host_options.ts";
import { isSameHost } from "../../lib/hosts/hosts.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import { nextDue } from "../../lib/hosts/schedule.ts";
import type { References } from "../../lib/hosts/references.ts";
import { FILES, SECRET, VARIABLES, WRONG_OPTIONS } from "../support/wrong_options.ts";

const references: References = {
  variable: (name) => VARIABLES[name],
  file: (path) => path in FILES ? Buffer.from(FILES[path] as string) : { problem: "cannot be read (ENOENT)" },
};
const parse = (...lines: string[]) => parseHosts(lines.join("\n"), "h", "UTC", references);
/** What a host with these options has. */
const optionsOf = (...lines: string[]): Partial<HostOptions> => {
  const { hosts: [host], problems, warnings } = parse("a.example 5", ...lines);
  expect([...problems, ...warnings]).toEqual([]);
  return Object.fromEntries(
    Object.entries(host?.options ?? {}).filter(([, value]) =>
      value !== null && !(Array.isArray(value) && !value.length)
    ),
  );
};
const header = (name: string, value: string, isOpen = false, isLiteral = true) => ({ name, value, isOpen, isLiteral });

it.each<[line: string, options: Partial<HostOptions>]>([
  ["| method POST", { method: "POST" }],
  ["|method\tHEAD ", { method: "HEAD" }],
  ["  | timeout 5", { timeout: 5 }],
  ["| timeout 0.5s", { timeout: 0.5 }],
  ["| timeout 250ms", { timeout: 0.25 }],
  ["| timeout 1h", { timeout: 3600 }],
  ["| redirects 0", { redirects: 0 }],
  ["| redirects 50", { redirects: 50 }],
  ["| status 401", { status: [{ from: 401, to: 401 }] }],
  ["| status 200-299  401\t503", { status: [{ from: 200, to: 299 }, { from: 401, to: 401 }, { from: 503, to: 503 }] }],
  ["| max-body 1", { maxBody: 1 }],
  ["| max-body 64KiB", { maxBody: 65_536 }],
  ["| max-body 64k", { maxBody: 65_536 }],
  ["| max-body 4MiB", { maxBody: 4_194_304 }],
  ["| label team=shop", { labels: { team: "shop" } }],
  ['| label Ort.1 =  Köln = "x"', { labels: { "Ort.1": 'Köln = "x"' } }],
  ["| header Accept: text/html", { headers: [header("Accept", "text/html", true)] }],
  ["| header X-Empty:", { headers: [header("X-Empty", "")] }],
  ["| header X-Text:\tgrün: 1 ", { headers: [header("X-Text", "grün: 1")] }],
  ["| header Authorization: Bearer ${HOSTS_TOKEN}", {
    headers: [header("Authorization", `Bearer ${SECRET}`, false, false)],
    secrets: [SECRET],
  }],
  ["| header Accept: ${file:token}", { headers: [header("Accept", SECRET, false, false)], secrets: [SECRET] }],
  ["| header X-Literal: $${HOSTS_TOKEN}", { headers: [header("X-Literal", "${HOSTS_TOKEN}")] }],
  ["| header X-Once: ${HOSTS_NESTED}", {
    headers: [header("X-Once", "${HOSTS_TOKEN}", false, false)],
    secrets: ["${HOSTS_TOKEN}"],
  }],
])("parseHosts reads the option %j", (line, options) => {
  expect(optionsOf(line)).toEqual(options);
});

it("parseHosts reads a body with what it refers to, a file's without its last newline", () => {
  expect(optionsOf("| method PUT", '| body {"a": "${file:lines}", "b": "${HOSTS_TOKEN}"}').body)
    .toBe(`{"a": "one\ntwo\n", "b": "${SECRET}"}`);
});

it("parseHosts gives options before the first host to all, and a host's own go before them", () => {
  const { hosts, problems } = parse(
    ...["| timeout 5s", "| header Accept: a/b", "| header X-All: 1", "| absent (?i)maintenance", "| label a=1", ""],
    ...[
      "a.example 5",
      "# remark",
      "b.example 5",
      "| timeout 7s",
      "",
      "| header accept: c/d",
      "| absent closed",
      "| label b=2",
    ],
  );
  expect(problems).toEqual([]);
  const read = hosts.map(({ address, options, absent }) => [
    ...[address, options?.timeout, absent?.source],
    options?.headers.map(({ name, value }) => `${name}: ${value}`),
    options?.labels,
  ]);
  expect(read).toEqual([
    ["a.example", 5, "(?i)maintenance", ["Accept: a/b", "X-All: 1"], { a: "1" }],
    ["b.example", 7, "closed", ["X-All: 1", "accept: c/d"], { a: "1", b: "2" }],
  ]);
});

it("parseHosts gives a host without options none, and lets hosts with equal ones share them", () => {
  expect(parse("a.example 5").hosts[0]?.options).toBeNull();
  const { hosts: [one, other] } = parse("a.example 5", "| timeout 5s", "b.example 5", "| timeout 5s");
  expect(one?.options).toBe(other?.options);
});

it("parseHosts leaves options of all hosts out where they do not fit one", () => {
  const { hosts, problems } = parse(
    ...["| method POST", "| body x", "| header Authorization: Bearer x", "| absent closed"],
    ...["me:pass@a.example 5", "b.example 5", "| method GET", "c.example 5", "| method HEAD"],
  );
  expect(problems).toEqual([]);
  expect(hosts.map(({ options, absent }) => [options?.method, options?.body, options?.headers.length, absent?.source]))
    .toEqual([["POST", "x", 0, "closed"], ["GET", null, 1, "closed"], ["HEAD", null, 1, undefined]]);
});

it.each(WRONG_OPTIONS)(
  "parseHosts says what is wrong with the option %j, and what to write instead",
  (line, column, message) => {
    const { problems } = parse("a.example 5", line);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`h:2:${column}: ${message}`);
    expect(problems[0]).not.toContain(SECRET);
  },
);

it.each<[what: string, lines: readonly string[], problems: readonly string[]]>([
  ["an option that stands twice", ["a.example 5", "| timeout 5", "| timeout 6"], [
    "h:3:11: timeout stands on line 2 already: remove one",
  ]],
  ["a header that stands twice", ["a.example 5", "| header Accept: a", "| header accept: b"], [
    "h:3:10: the header accept stands on line 2 already: remove one",
  ]],
  ["a label that stands twice", ["a.example 5", "| label a=b", "| label a=c"], [
    "h:3:9: the label a stands on line 2 already: remove one",
  ]],
  ["too many labels", ["a.example 5", ...Array.from({ length: 21 }, (_, n) => `| label l${n}=x`)], [
    "h:22:9: 20 labels are the most: remove this one",
  ]],
  ["HEAD with a REGEX", ["a.example 5 (fine)", "| method HEAD"], [
    "h:2:10: | method HEAD asks for no page, and REGEX looks at one: write | method GET, or leave REGEX out",
  ]],
  ["HEAD for all, and one with a REGEX", ["| method HEAD", "a.example 5", "b.example 5 (fine)"], [
    "h:3:13: | method HEAD asks for no page, and REGEX looks at one: write | method GET, or leave REGEX out",
  ]],
  ["HEAD with absent", ["a.example 5", "| absent x", "| method HEAD"], [
    "h:2:10: | method HEAD asks for no page, and | absent looks at one: write | method GET, or leave one of them out",
  ]],
  ["a body for all with GET", ["| body x", "a.example 5"], [
    "h:1:8: a check with GET has no body: write | method POST, or leave | body out",
  ]],
  ["two logins", ["me:pass@a.example 5", "| header Authorization: Bearer x"], [
    "h:2:10: the DOMAIN has a user, whose password is sent in Authorization: leave one of them out",
  ]],
  ["options of a host whose line is wrong", ["a.example often", "| timeout soon", "b.example 5"], [
    'h:1:11: "often" is no FREQUENCY: write minutes (5, 0.5), a number with a unit (30s, 5m, 2h, 1d) or a cron expression in double quotes ("*/5 * * * *")',
    'h:2:11: "soon" is no time: write seconds, or a number with a unit (5s, 500ms)',
  ]],
  ["options alone", ["| timeout 5"], [
    "h:1:1: the file names no host: write a line such as: https://example.com 5m (Example Domain)",
  ]],
])("parseHosts reports %s", (_, lines, problems) => {
  expect(parse(...lines).problems).toEqual(problems);
});

it("parseHosts warns of a REGEX that hardly means what it says, in | absent too", () => {
  expect(parse("a.example 5", '| absent "closed"').warnings).toEqual([
    'h:2:10: the quotes are part of the REGEX, and the page must hold them: leave them out, or write \\" where they are meant',
  ]);
});

it("isSameHost tells hosts apart by their options, and by the values to which these refer", () => {
  const host = (...lines: string[]) => {
    const [found] = parse("a.example 5", ...lines).hosts;
    if (found === undefined) throw new Error("no host");
    return found;
  };
  expect(isSameHost(host("| timeout 5"), host("| timeout  5s"))).toBe(true);
  expect(isSameHost(host("| header X: ${HOSTS_TOKEN}"), host("| header X: ${file:token}"))).toBe(true);
  expect(isSameHost(host(), host("| timeout 5"))).toBe(false);
  expect(isSameHost(host("| absent a"), host("| absent b"))).toBe(false);
  expect(isSameHost(host("| header X: a"), host("| header X: b"))).toBe(false);
});

const TLS: HostTls = {
  ...{ ca: "a", cert: "b", key: "c", id: "d", name: "e", isVerified: true },
  files: { ca: "f", cert: "g", key: "h" },
};
/** Two values of each option that differ in one place. */
const DIFFERENT: { readonly [N in keyof HostOptions]: readonly (readonly [HostOptions[N], HostOptions[N]])[] } = {
  method: [["GET", "PUT"], [null, "PUT"]],
  headers: (["name", "value", "isOpen", "isLiteral"] as const).map((part) => {
    const header = { name: "X", value: "1", isOpen: false, isLiteral: false };
    return [[header], [{ ...header, [part]: header[part] === false ? true : "2" }]];
  }),
  body: [["a", "b"], [null, ""]],
  status: [[[{ from: 200, to: 299 }], [{ from: 200, to: 298 }]], [[{ from: 200, to: 299 }], [{ from: 201, to: 299 }]], [
    [],
    null,
  ]],
  timeout: [[1, 2], [null, 1]],
  redirects: [[0, 1], [null, 0]],
  maxBody: [[1, 2], [null, 1]],
  tls: [
    ...[{ id: "x" }, { name: "x" }, { isVerified: false }].map((part) => [TLS, { ...TLS, ...part }] as const),
    ...["ca", "cert", "key"].map((name) => [TLS, { ...TLS, files: { ...TLS.files, [name]: "x" } }] as const),
    [null, TLS],
  ],
  labels: [[{ a: "1" }, { a: "2" }], [{ a: "1" }, { b: "1" }], [{ a: "1" }, { a: "1", b: "1" }], [{ a: "1" }, null]],
  secrets: [[["a"], ["b"]], [["a"], []], [["a", "b"], ["a"]]],
};

it.each(Object.entries(DIFFERENT))("areSameOptions tells options apart by %s, in each part of it", (name, pairs) => {
  const { hosts: [host] } = parse("a.example 5", "| timeout 5");
  const having = (value: unknown) => ({ ...host?.options, [name]: structuredClone(value) }) as HostOptions;
  for (const [one, other] of pairs) {
    expect(areSameOptions(having(one), having(one))).toBe(true);
    expect(areSameOptions(having(other), having(other))).toBe(true);
    expect(areSameOptions(having(one), having(other))).toBe(false);
    expect(areSameOptions(having(other), having(one))).toBe(false);
  }
});

it("--check prints each option as it was understood, and nothing that may be a secret", () => {
  const { hosts, problems } = parse(
    ...["a.example 5m", "| method POST", "| header Content-Type: text/plain", "| header Accept: ${HOSTS_TOKEN}"],
    ...["| header X-Key: k3y", "| body s3cret", "| status 200-299 401", "| timeout 1m", "| redirects 0"],
    ...["| max-body 64k", "| label team=shop", "| absent closed", "b.example 5m"],
  );
  expect(problems).toEqual([]);
  const printed = [...dueTimes(hosts, 0)].join("");
  expect(printed.replaceAll(/ {2}\d{4}-\S+/g, "")).toBe(
    `a.example  5m
  | method POST
  | header Content-Type: text/plain
  | header Accept: …
  | header X-Key: …
  | body … (6 bytes)
  | status 200-299 401
  | timeout 60s
  | redirects 0
  | max-body 65536
  | label team=shop
  | absent closed
b.example  5m
`,
  );
});

it("--check shows signs that a terminal would obey, in a line among many", () => {
  const lines = Array.from({ length: 500 }, (_, n) => `h${n}.example 5m ü\n| label team=shop`);
  const { hosts, problems } = parse(...lines.join("\n").split("\n"), "z.example 5m a\tb", "| label team=\u202eshop");
  expect(problems).toEqual([]);
  const printed = [...dueTimes(hosts, 0)].join("").split("\n");
  expect(printed).toHaveLength(2 * 501 + 1);
  expect(printed.slice(-4)).toEqual([
    "  | label team=shop",
    expect.stringMatching(/^z\.example {5}5m .*Z {2}a\\tb$/),
    "  | label team=\\u202eshop",
    "",
  ]);
});

it.each(["0.5", "7m", "36500d", '"30 4 29 2 *"', '"*/7 * * * * *"'])(
  "--check tells the due times of %s",
  (frequency) => {
    const { hosts } = parse(...Array.from({ length: 300 }, (_, n) => `h${n}.example ${frequency}`));
    const now = Date.parse("2026-11-30T17:04:25.678Z");
    const told = [...dueTimes(hosts, now)].join("").trimEnd().split("\n").map((line) => line.split("  ").slice(-3));
    const due = hosts.map(({ frequency, address }) => {
      const first = nextDue(frequency, address, now);
      const second = nextDue(frequency, address, first);
      return [first, second, nextDue(frequency, address, second)].map((at) => new Date(at).toISOString());
    });
    expect(told).toEqual(due.map((times) => times.map((time) => time.replace(/\.\d+Z$/, "Z"))));
  },
);
