import { expect, it } from "vitest";
import { dueTimes } from "../../lib/hosts/due_times.ts";
import type { HostOptions } from "../../lib/hosts/host_options.ts";
import { isSameHost } from "../../lib/hosts/hosts.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import type { References } from "../../lib/hosts/references.ts";

const SECRET = "s3cret";
const VARIABLES: Readonly<Record<string, string>> = {
  HOSTS_TOKEN: SECRET,
  HOSTS_EMPTY: "",
  HOSTS_LINES: `${SECRET}\nX-Evil: 1`,
  HOSTS_NESTED: "${HOSTS_TOKEN}",
};
const FILES: Readonly<Record<string, string>> = {
  "token": `${SECRET}\n`,
  "lines": "one\ntwo\n\n",
  "empty": "\n",
  "long": "x".repeat(65_537),
};
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

it.each([
  ["| timeuot 5s", 3, '"timeuot" is no option: write | timeout'],
  ["| Timeout 5s", 3, '"Timeout" is no option: write | timeout'],
  ["| max 5", 3, '"max" is no option: write | max-body'],
  ["| nonsense 5", 3, '"nonsense" is no option: write one of method, header, body, status, timeout'],
  ["| Authorization: Bearer x", 3, '"Authorization:" is no option: write | header Authorization: and its value'],
  ["|", 2, "| names no option: write one such as | timeout 5s"],
  ["| timeout", 10, "| timeout lacks its value: write | timeout and, behind it, the value"],
  ["| timeout soon", 11, '"soon" is no time: write seconds, or a number with a unit (5s, 500ms)'],
  ["| timeout 0", 11, '"0" is no time for a check: write from 0.001 to 3600 seconds'],
  ["| timeout 2h", 11, '"2h" is no time for a check: write from 0.001 to 3600 seconds'],
  ["| method post", 10, '"post" is no method that a check sends: write POST'],
  ["| method PSOT", 10, '"PSOT" is no method that a check sends: write POST'],
  ["| method CONNECT", 10, '"CONNECT" is no method that a check sends: write GET, HEAD'],
  ["| redirects many", 13, '"many" is no number of redirects: write 0, which makes the redirect the answer, to 50'],
  ["| redirects 51", 13, '"51" is no number of redirects'],
  ["| status 2xx", 10, '"2xx" is no status: write 200-299'],
  ["| status 200,401", 10, '"200,401" is no status: write blanks instead of commas (200 401)'],
  ["| status 299-200", 10, '"299-200" is a range from more to less: write 200-299'],
  ["| status 100", 10, '"100" is no status: write numbers from 200 to 999 and ranges, such as 200-299 401'],
  [
    "| max-body 5MiB",
    12,
    '"5MiB" is more or less than is read of a page: write bytes, or a number with a unit (64KiB), up to 4MiB',
  ],
  ["| max-body 0", 12, '"0" is more or less than is read of a page'],
  ["| max-body much", 12, '"much" is no size: write bytes'],
  [
    "| absent (?=a)",
    10,
    "(?= is a lookahead, which cannot be matched in linear time: match the text around it as well",
  ],
  ["| absent ${HOSTS_TOKEN}", 10, "| absent takes no reference: ${…} stands in header and body only"],
  ["| timeout ${file:token}", 11, "| timeout takes no reference: ${…} stands in header and body only"],
  ["| header Accept", 10, "this is no header: write NAME: VALUE, such as Accept: text/html, without a blank in NAME"],
  ["| header Accept : x", 10, "this is no header: write NAME: VALUE"],
  ["| header Host: b.example", 10, "the header Host is not sent, DOMAIN names the host: write it there"],
  ["| header content-length: 5", 10, "the header content-length is not sent, it comes with | body: leave it out"],
  [
    "| header Connection: keep-alive",
    10,
    "the header Connection is not sent, each check has a connection of its own and closes it",
  ],
  ["| header X: ${HOSTS_NONE}", 10, "HOSTS_NONE is not set: set this variable of the environment"],
  ["| header X: ${HOSTS_EMPTY}", 10, "HOSTS_EMPTY is not set: set this variable of the environment"],
  [
    "| header X: ${HOSTS_LINES}",
    10,
    "the value of X holds a line end or control character: write one line of plain text",
  ],
  ["| header X: ${file:lines}", 10, "the value of X holds a line end or control character"],
  [
    "| header X: ${KAFKA_SSL_KEY_PASSWORD}",
    10,
    "${KAFKA_SSL_KEY_PASSWORD} is no reference: write ${HOSTS_NAME} for a variable, whose name begins with HOSTS_",
  ],
  ["| header X: ${HOSTS_TOKEN", 10, "${ is not closed: write } behind the name, or $${ for the signs themselves"],
  ["| header X: ${file:none}", 10, "none: cannot be read (ENOENT)"],
  ["| header X: ${file:empty}", 10, "empty: is empty: write what is to be sent into it"],
  ["| header X: ${file:long}", 10, "long: has 65537 bytes, and 65536 are the most"],
  ["| label team", 9, "this is no label: write NAME=VALUE, such as team=shop"],
  ["| label team=", 9, "this is no label: write NAME=VALUE"],
  ["| label 1=a", 9, "this is no label: write NAME=VALUE"],
  [`| label a=${"x".repeat(254)}`, 9, "the label a has 254 characters, and 253 are the most"],
  ["| label a=${HOSTS_TOKEN}", 9, "| label takes no reference: ${…} stands in header and body only"],
  ["| body x", 8, "a check with GET has no body: write | method POST, or leave | body out"],
])("parseHosts says what is wrong with the option %j, and what to write instead", (line, column, message) => {
  const { problems } = parse("a.example 5", line);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(`h:2:${column}: ${message}`);
  expect(problems[0]).not.toContain(SECRET);
});

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
