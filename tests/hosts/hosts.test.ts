import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Host } from "../../lib/hosts/hosts.ts";
import { parseHosts, shardOf } from "../../lib/hosts/hosts_file.ts";

const UNSEEN = "which nobody sees: leave it out, or write a plain space or %XX";
const WRITE_DOMAIN = "write a DOMAIN such as example.com or https://example.com/health";
const WRITE_FREQUENCY =
  'write minutes (5, 0.5), a number with a unit (30s, 5m, 2h, 1d) or a cron expression in double quotes ("*/5 * * * *")';
const FREQUENCY_MISSING =
  "FREQUENCY is missing: write minutes (5), a number with a unit (30s, 2h) or a cron expression in double quotes";
const COMMENT = "a comment needs its own line; a REGEX that begins with # is written \\#";

function problemsOf(...lines: readonly string[]): readonly string[] {
  return parseHosts(lines.join("\n"), "hosts.txt", "UTC").problems;
}

function hostsOf(...lines: readonly string[]): readonly Host[] {
  const { hosts, problems } = parseHosts(lines.join("\n"), "hosts.txt", "UTC");
  expect(problems).toEqual([]);
  return hosts;
}

function hostOf(line: string): Host {
  return hostsOf(line)[0] as Host;
}

/** Line, address, frequency as written, regex as written. */
function summary({ line, address, frequency, pattern }: Host) {
  return [line, address, frequency.text, pattern?.source ?? null];
}

const text = [
  "# Sites of the shop",
  "",
  "https://a.example 5 (Sign in)",
  " \t ",
  "a.example/health\t30s",
  "  # not read",
  '\t http://b.example \t "*/10 8-18 * * 1-5"\t  two  blanks \t ',
];
const read = [
  [3, "https://a.example", "5", "(Sign in)"],
  [5, "a.example/health", "30s", null],
  [7, "http://b.example", '"*/10 8-18 * * 1-5"', "two  blanks"],
];

it.each([
  ["line feeds", text.join("\n")],
  ["line feeds and a last one", `${text.join("\n")}\n`],
  ["carriage returns and line feeds", text.join("\r\n")],
  ["carriage returns and line feeds and a last one", `${text.join("\r\n")}\r\n`],
  ["a byte-order mark", `\uFEFF${text.join("\n")}`],
  ["a byte-order mark on every line, as in files put together", text.map((line) => `\uFEFF${line}`).join("\r\n")],
])("parseHosts skips comments and blank lines, and blanks at a line's ends, in a file with %s", (_, file) => {
  const { hosts, problems } = parseHosts(file, "hosts.txt", "UTC");
  expect(problems).toEqual([]);
  expect(hosts.map(summary)).toEqual(read);
});

it.each([
  ["a.example", "a.example", "https://a.example/"],
  ["a.example/health?x=1&y=2", "a.example/health?x=1&y=2", "https://a.example/health?x=1&y=2"],
  ["localhost:8080", "localhost:8080", "https://localhost:8080/"],
  ["[::1]:80", "[::1]:80", "https://[::1]:80/"],
  ["192.0.2.1", "192.0.2.1", "https://192.0.2.1/"],
  ["http://a.example", "http://a.example", "http://a.example/"],
  ["HTTPS://A.Example/Path", "HTTPS://A.Example/Path", "https://a.example/Path"],
  ["hTTp://a.example:81", "hTTp://a.example:81", "http://a.example:81/"],
  ["http.example", "http.example", "https://http.example/"],
  ["https.example:8443/x", "https.example:8443/x", "https://https.example:8443/x"],
  ["grün.example/ü😀", "grün.example/ü😀", "https://xn--grn-ioa.example/%C3%BC%F0%9F%98%80"],
  ["https://a.example/#prices", "https://a.example/#prices", "https://a.example/"],
  ["a.example#prices", "a.example#prices", "https://a.example/"],
  ["a.example/?q=1#a#b", "a.example/?q=1#a#b", "https://a.example/?q=1"],
  ["https://a.example/next=https://b.example", "https://a.example/next=https://b.example", undefined],
  ["a.example/@me", "a.example/@me", "https://a.example/@me"],
])("parseHosts reads the DOMAIN %s", (domain, address, url) => {
  const host = hostOf(`${domain} 5`);
  expect([host.address, host.url.href, host.authorization]).toEqual([address, url ?? address, null]);
});

it.each([
  ["https://user:secret@a.example/x", "https://a.example/x", "user:secret"],
  ["user:secret@a.example:81", "a.example:81", "user:secret"],
  ["http://user@a.example", "http://a.example", "user:"],
  ["https://:secret@a.example", "https://a.example", ":secret"],
  ["https://user:a:b@c@a.example/#x", "https://a.example/#x", "user:a:b@c"],
  ["https://us%40er:s%2Fe%20c%C3%BC@a.example", "https://a.example", "us@er:s/e cü"],
  ["https://user:100%@a.example", "https://a.example", "user:100%"],
])("parseHosts takes the credentials out of %s", (domain, address, credentials) => {
  const host = hostOf(`${domain} 5`);
  expect(host.address).toBe(address);
  expect([host.url.username, host.url.password, host.url.hash]).toEqual(["", "", ""]);
  expect(host.authorization).toBe(`Basic ${Buffer.from(credentials).toString("base64")}`);
});

it("parseHosts sends no authorization where the credentials are empty", () => {
  expect(hostOf("https://@a.example 5").authorization).toBeNull();
});

it.each([
  ["https:/one-slash", 'https:/one-slash lacks // after "https:": write https://one-slash'],
  ["https:a.example", 'https:a.example lacks // after "https:": write https://a.example'],
  ["HTTP:a.example", 'HTTP:a.example lacks // after "HTTP:": write HTTP://a.example'],
  ["http:8080", 'http:8080 lacks // after "http:": write http://8080'],
  ["https:\\\\a.example", 'https:\\\\a.example lacks // after "https:": write https://a.example'],
  ["https:", 'https: lacks // after "https:": write https://example.com'],
  ["ftp://a.example", "ftp:// cannot be checked: write https:// or http://"],
  ["WSS://a.example", "WSS:// cannot be checked: write https:// or http://"],
  ["coap+tcp://a.example", "coap+tcp:// cannot be checked: write https:// or http://"],
  ["1http://a.example", "1http:// cannot be checked: write https:// or http://"],
  ['"https://a.example"', '"https:// cannot be checked: write https:// or http://'],
  ["https://", `https:// names no host: ${WRITE_DOMAIN}`],
  ["https:///a.example", `https:///a.example names no host: ${WRITE_DOMAIN}`],
  ["//a.example", `//a.example names no host: ${WRITE_DOMAIN}`],
  ["/health", `/health names no host: ${WRITE_DOMAIN}`],
  ["?q", `?q names no host: ${WRITE_DOMAIN}`],
  [":80", `:80 names no host: ${WRITE_DOMAIN}`],
  ["https://#x", `https://#x names no host: ${WRITE_DOMAIN}`],
  ["[::1", `[::1 is no address: ${WRITE_DOMAIN}`],
  ["a.example:99999/x", `a.example:99999/x is no address: ${WRITE_DOMAIN}`],
  ["https://256.256.256.256", `https://256.256.256.256 is no address: ${WRITE_DOMAIN}`],
  ["http://192.0.2.08", `http://192.0.2.08 is no address: ${WRITE_DOMAIN}`],
  ["a.1", `a.1 is no address: ${WRITE_DOMAIN}`],
  ["http:80/", 'http:80/ lacks // after "http:": write http://80/'],
  ["http//a.example", "http//a.example lacks a colon: write http://a.example"],
  ["https://http://a.example", "https://http://a.example has its scheme twice: write http://a.example"],
  ["a..example", "a..example is no name that a host can have: write one such as www.example.com"],
  ["www,a.example", "www,a.example is no name that a host can have: write one such as www.example.com"],
  ["a.example;", "a.example; is no name that a host can have: write one such as www.example.com"],
  ["*.a.example/x", "*.a.example is no name that a host can have: write one such as www.example.com"],
  ["a.example\u00A05m", `a.example\\x{a0}5m holds U+00A0, ${UNSEEN}`],
  ["a.example/\u0001", `a.example/\\x{1} holds U+0001, ${UNSEEN}`],
])("parseHosts refuses the DOMAIN %j", (domain, message) => {
  expect(problemsOf(`${domain} 5`)).toEqual([`hosts.txt:1:1: ${message}`]);
});

it("parseHosts takes no DOMAIN that is no URL, however like a right one it looks", () => {
  const schemes = ["", "http://", "HTTPS://", "http//", "http:", "https://https://"];
  const parts = ["a", "A-", "_", "1", "08", "255", "256", "0x1", "xn--", "é", ""];
  const names = parts.flatMap((one) => [one, ...parts.flatMap((two) => [`${one}.${two}`, `192.0.${one}.${two}`])]);
  const ends = ["", ":1", ":59999", ":65536", ":08/x@y", ":a", "/", "?a", "#http://a", "\\"];
  const domains = schemes.flatMap((scheme) => names.flatMap((name) => ends.map((end) => scheme + name + end)));
  const { hosts } = parseHosts(domains.map((domain) => `${domain} 5`).join("\n"), "hosts.txt", "UTC");
  expect(hosts.length).toBeGreaterThan(1000);
  for (const { address, line } of hosts) {
    expect(address).toBe(domains[line - 1]);
    expect(address).toMatch(/^(?:https?:\/\/)?(?!https?(?::|\/\/))/i);
    const url = URL.parse(/^https?:\/\//i.test(address) ? address : `https://${address}`);
    expect(url?.hostname, address).toMatch(/^[a-z0-9_.-]+$/);
  }
});

it("parseHosts takes an address of 2000 bytes, and refuses a longer one", () => {
  const longest = `a.example/${"é".repeat(995)}`;
  expect(hostOf(`${longest} 5`).address).toBe(longest);
  expect(problemsOf(`${longest}x 5`)).toEqual([
    "hosts.txt:1:1: an address of more than 2000 bytes cannot be stored: write a shorter one",
  ]);
});

it.each([
  ["ftp://user:secret@a.example 5", ["1:1: ftp:// cannot be checked: write https:// or http://"]],
  ["https:/user:secret@a.example 5", [
    '1:1: https:/…@a.example lacks // after "https:": write https://…@a.example',
  ]],
  ["user:secret@https://a.example 5", ["1:1: …@https:// cannot be checked: write https:// or http://"]],
  ["user:secret@ 5", [`1:1: the line names no host: ${WRITE_DOMAIN}`]],
  ["https://user:secret@/x 5", [`1:1: https:///x names no host: ${WRITE_DOMAIN}`]],
  ["https:///user:secret@a.example 5", [`1:1: …@a.example names no host: ${WRITE_DOMAIN}`]],
  ["https://user:secret@[::1 5", [`1:1: https://[::1 is no address: ${WRITE_DOMAIN}`]],
  ["https://user:secret@a.example:port 5", [`1:1: https://a.example:… is no address: ${WRITE_DOMAIN}`]],
  ["https://user:se/secret@a.example 5", [`1:1: …@a.example is no address: ${WRITE_DOMAIN}`]],
  ["https://user:se?secret@a.example 5", [`1:1: …@a.example is no address: ${WRITE_DOMAIN}`]],
  ["https://user:se#secret@a.example 5", [`1:1: …@a.example is no address: ${WRITE_DOMAIN}`]],
  ["https://user:secret 5", [`1:1: https://user:… is no address: ${WRITE_DOMAIN}`]],
  ["user:12secret/x 5", [`1:1: user:… is no address: ${WRITE_DOMAIN}`]],
  ["https://user:secret secret@a.example 5", [
    `1:1: https://user:… is no address: ${WRITE_DOMAIN}`,
    `1:21: "…@a.example" is no FREQUENCY: ${WRITE_FREQUENCY}`,
  ]],
  ["https://user:secret@a.example x", [`1:31: "x" is no FREQUENCY: ${WRITE_FREQUENCY}`]],
  ["https://user:secret@a.example 5 (", [
    "1:33: a parenthesis is not closed: add ), or write \\( for the sign itself",
  ]],
])("parseHosts keeps credentials out of its messages about %s", (line, expected) => {
  const problems = problemsOf(line);
  expect(problems).toEqual(expected.map((problem) => `hosts.txt:${problem}`));
  expect(problems.join()).not.toMatch(/secret/);
});

it("parseHosts reports an address that a line above has, without credentials, and a free fragment", () => {
  const first = "already: remove one, or add a fragment to check the page in two ways";
  expect(problemsOf(
    "https://user:secret@a.example 5",
    "https://a.example/ 5",
    "  https://other:secret@a.example 30s (x)",
    "a.example 5",
    "a.example#2 5",
    "a.example#2 6",
    "a.example 5",
    "b.example wrong",
    "b.example 5",
  )).toEqual([
    `hosts.txt:3:3: https://a.example is on line 1 ${first} (https://a.example#2)`,
    `hosts.txt:6:1: a.example#2 is on line 5 ${first} (a.example#3)`,
    `hosts.txt:7:1: a.example is on line 4 ${first} (a.example#3)`,
    `hosts.txt:8:11: "wrong" is no FREQUENCY: ${WRITE_FREQUENCY}`,
    `hosts.txt:9:1: b.example is on line 8 ${first} (b.example#2)`,
  ]);
});

it("parseHosts lets a fragment tell two checks of one page apart", () => {
  const hosts = hostsOf("https://a.example/ 5", "https://a.example/#prices 1h (?i)price", "https://a.example/#up 30s");
  expect(hosts.map(({ address }) => address)).toEqual([
    "https://a.example/",
    "https://a.example/#prices",
    "https://a.example/#up",
  ]);
  expect(hosts.map(({ url }) => url.href)).toEqual(Array(3).fill("https://a.example/"));
});

it.each([
  ["5", 300_000],
  ["0.5", 30_000],
  ["30s", 30_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
  ["1d", 86_400_000],
])("parseHosts reads the FREQUENCY %s as %i ms", (frequency, interval) => {
  expect(hostOf(`a.example ${frequency}`).frequency).toEqual({ kind: "interval", text: frequency, interval });
});

it.each(['"*/5 8-18 * * 1-5"', '"0 */5 8-18 * * 1-5"', '"@hourly"', '"@yearly"'])(
  "parseHosts reads the FREQUENCY %s as cron",
  (frequency) => {
    expect(hostOf(`a.example ${frequency} (x)`).frequency).toMatchObject({ kind: "cron", text: frequency });
  },
);

it("parseHosts reads cron in the time zone that is given", () => {
  const due = (zone: string) => {
    const frequency = parseHosts('a.example "0 12 * * *"', "hosts.txt", zone).hosts[0]?.frequency;
    return frequency?.kind === "cron" ? new Date(frequency.cron.next(0)).toISOString() : null;
  };
  expect(["UTC", "Asia/Tokyo"].map(due)).toEqual(["1970-01-01T12:00:00.000Z", "1970-01-01T03:00:00.000Z"]);
});

it.each([
  ["", FREQUENCY_MISSING, 10],
  [" \t", FREQUENCY_MISSING, 10],
  [" often", `"often" is no FREQUENCY: ${WRITE_FREQUENCY}`],
  [" 5(x)", `"5(x)" is no FREQUENCY: ${WRITE_FREQUENCY}`],
  [" 0,5 (x)", '"0,5" is no FREQUENCY: write 0.5'],
  [" 0.9s (x)", '"0.9s" is less than 1 second: write 1s or more'],
  [" +5", `"+5" is no FREQUENCY: ${WRITE_FREQUENCY}`],
  [
    ' "*/5 * * *" (x)',
    '"*/5 * * *" has 4 fields: a cron expression has five fields (minute hour day month weekday), or ' +
    "six with seconds in front",
  ],
  [' "*/5 * * * * (x)', '"*/5 * * * * (x) lacks its closing quote: write "*/5 * * * *"'],
  [' "*/5 * * * *"(x)', 'a blank is missing after "*/5 * * * *"'],
  [' "H * * * *"', '"H" lets the minute be chosen at random: write a number, such as 7, instead of H'],
  [" */5 * * * * (x)", 'put the cron expression in double quotes: "*/5 * * * *"'],
  ["\t*/5\t*  * * *", 'put the cron expression in double quotes: "*/5 * * * *"'],
  [" 0 */5 8-18 * * mon-fri (x)", 'put the cron expression in double quotes: "0 */5 8-18 * * mon-fri"'],
  [" 5 4 * * *", 'put the cron expression in double quotes: "5 4 * * *"'],
  [" 5 4 * * * (x)", 'put the cron expression in double quotes: "5 4 * * *"'],
  [" 0 5 4 * * 1,3 (x)", 'put the cron expression in double quotes: "0 5 4 * * 1,3"'],
  [" 30 3 L JAN,jul ? x", 'put the cron expression in double quotes: "30 3 L JAN,jul ?"'],
  [" 0,30 9-17/2 1 1 fri#2", 'put the cron expression in double quotes: "0,30 9-17/2 1 1 fri#2"'],
  [" */5", 'put the cron expression in double quotes: "*/5"'],
  [" @daily", 'put the cron expression in double quotes: "@daily"'],
  [" @daily (x)", 'put the cron expression in double quotes: "@daily"'],
  [" '*/5 * * * *' (x)", 'put the cron expression in double quotes: "*/5 * * * *"'],
  [" “*/5 * * * *” (x)", 'put the cron expression in double quotes: "*/5 * * * *"'],
  [" „@daily“", 'put the cron expression in double quotes: "@daily"'],
  [" 1-5", `"1-5" is no FREQUENCY: ${WRITE_FREQUENCY}`],
  [" 5\rb.example 5", `"5\\x{d}b.example" is no FREQUENCY: ${WRITE_FREQUENCY}`],
  [" 5\u001b[2J", `"5\\x{1b}[2J" is no FREQUENCY: ${WRITE_FREQUENCY}`],
])("parseHosts says of the FREQUENCY in %j what is wrong", (rest, message, column = 11) => {
  expect(problemsOf(`a.example${rest}`)).toEqual([`hosts.txt:1:${column}: ${message}`]);
});

it.each([
  ["5 4 * *", "5", "4 * *"],
  ["5 200 OK", "5", "200 OK"],
  ["5 1 2 3 apples", "5", "1 2 3 apples"],
  ["5 2026 01 01 00 00", "5", "2026 01 01 00 00"],
  ['5 "quoted text"', "5", '"quoted text"'],
  ['5m class="x"', "5m", 'class="x"'],
  ['"@hourly" "@hourly"', '"@hourly"', '"@hourly"'],
  ["5 'x'", "5", "'x'"],
  ["5 (x) # y", "5", "(x) # y"],
  ["5 \\# y", "5", "\\# y"],
  ["5 a  b\tc \t", "5", "a  b\tc"],
])("parseHosts reads %j as a FREQUENCY and a REGEX", (rest, frequency, regex) => {
  expect(summary(hostOf(`a.example ${rest}`))).toEqual([1, "a.example", frequency, regex]);
});

it("parseHosts gives a pattern that matches anywhere in the body, case-sensitive", () => {
  const { pattern } = hostOf("a.example 5 (Sign in|Log in)");
  expect(["<a>Log in</a>", "<a>log in</a>"].map((body) => pattern?.test(body))).toEqual([true, false]);
});

it("parseHosts gives hosts of one FREQUENCY and one REGEX one of each, or 100,000 hosts would not fit", () => {
  const [first, second] = hostsOf('a.example "@hourly" (x)', 'b.example "@hourly" (x)');
  expect(second?.frequency).toBe(first?.frequency);
  expect(second?.pattern).toBe(first?.pattern);
});

it.each([
  ["# a comment", COMMENT],
  ["#", COMMENT],
  [
    "minutes",
    "minutes would be the REGEX: write the unit at the number (5m), or (minutes) if the page must hold that",
  ],
  ["a(?=b)", "(?= is a lookahead, which cannot be matched in linear time: match the text around it as well"],
  ["(a)\\1", "\\1 is a back-reference, which cannot be matched in linear time: write out what it repeats"],
  ["[a", "[a is not closed: add ], or write \\[ for the sign itself"],
])("parseHosts refuses the REGEX %s at its own column", (regex, message) => {
  expect(problemsOf(`a.example  5   ${regex}`)).toEqual([`hosts.txt:1:16: ${message}`]);
});

it.each([
  ["é", "a.é x", 5],
  ["one that takes two code units", "😀.example x", 11],
  ["many of them", "  😀😀😀.example/😀 \t x", 19],
  ["one made of two", "e\u0301.example x", 12],
])("parseHosts counts columns in characters: %s", (_, line, column) => {
  expect(problemsOf(line)).toEqual([`hosts.txt:1:${column}: "x" is no FREQUENCY: ${WRITE_FREQUENCY}`]);
});

it("parseHosts leaves a byte-order mark out of the columns", () => {
  expect(problemsOf("\uFEFFa.example x")).toEqual([`hosts.txt:1:11: "x" is no FREQUENCY: ${WRITE_FREQUENCY}`]);
});

it("parseHosts counts comments and blank lines, and the column behind a REGEX that holds emoji", () => {
  expect(problemsOf("# 1", "", "a.example/😀 5 😀(", "", "b.example 5m 😀 # y", "c.example")).toEqual([
    "hosts.txt:3:15: a parenthesis is not closed: add ), or write \\( for the sign itself",
    `hosts.txt:6:10: ${FREQUENCY_MISSING}`,
  ]);
});

it.each([
  ["bytes that are not UTF-8", "😀.example 5 caf\uFFFD", 16],
  ["UTF-16", "  a\0.\0e\0 5", 4],
])("parseHosts refuses a line of %s where it breaks", (_, line, column) => {
  expect(problemsOf(line)).toEqual([
    `hosts.txt:1:${column}: this line is not UTF-8 text: save the file as UTF-8`,
  ]);
});

it("parseHosts reports every bad line at once, each with its place, and everything that is wrong with it", () => {
  const { hosts, problems } = parseHosts(
    [
      "\uFEFF# hosts",
      "https:/a.example 5",
      "b.example 5 (fine)",
      "c.example */5 * * * * (x)",
      "ftp://d.example often",
      "e.example 0.5s",
      "b.example 5 (?!x)",
      "f.example",
    ].join("\r\n"),
    "conf/sites.txt",
    "UTC",
  );
  expect(problems).toEqual([
    'conf/sites.txt:2:1: https:/a.example lacks // after "https:": write https://a.example',
    'conf/sites.txt:4:11: put the cron expression in double quotes: "*/5 * * * *"',
    "conf/sites.txt:5:1: ftp:// cannot be checked: write https:// or http://",
    `conf/sites.txt:5:17: "often" is no FREQUENCY: ${WRITE_FREQUENCY}`,
    'conf/sites.txt:6:11: "0.5s" is less than 1 second: write 1s or more',
    "conf/sites.txt:7:1: b.example is on line 3 already: remove one, or add a fragment to check the page in two ways (b.example#2)",
    "conf/sites.txt:7:13: (?! is a lookahead, which cannot be matched in linear time: match the text around it as well",
    `conf/sites.txt:8:10: ${FREQUENCY_MISSING}`,
  ]);
  expect(hosts.map(({ address }) => address)).toContain("b.example");
});

it.each(["", "\n", "\uFEFF", " \t\r\n# nothing but a comment\r\n\r\n"])(
  "parseHosts refuses %j, which names no host",
  (file) => {
    expect(parseHosts(file, "hosts.txt", "UTC")).toEqual({
      hosts: [],
      problems: [
        "hosts.txt:1:1: the file names no host: write a line such as: https://example.com 5m (Example Domain)",
      ],
      warnings: [],
    });
  },
);

it("parseHosts takes hosts.txt.example", () => {
  const example = readFileSync(new URL("../../hosts.txt.example", import.meta.url), "utf8");
  const { hosts, problems } = parseHosts(example, "hosts.txt.example", "Europe/Berlin");
  expect(problems).toEqual([]);
  expect(new Set(hosts.map(({ frequency }) => frequency.kind))).toEqual(new Set(["interval", "cron"]));
});

const schemes = ["https://", "http://", ""];
const paths = ["", "/health", ":8080/a?b=c", "/#x"];
const frequencies = ["5", "0.5", "30s", "5m", "2h", "1d", '"*/5 8-18 * * 1-5"', '"@hourly"'];
const regexes = [
  "",
  "title",
  "(Welcome to shop!)",
  "(?i)price:\\s+\\d+",
  "<h1>[A-Z][a-z]+ é😀</h1>",
  '^\\{"ok":true\\}$',
];
const pick = (list: readonly string[], index: number) => list[index % list.length] as string;

it("parseHosts reads 100,000 lines, each as it is written, and finds the two bad ones among them", () => {
  const written = Array.from({ length: 100_000 }, (_, index) => ({
    address: `${pick(schemes, index)}host${index}.example${pick(paths, index)}`,
    frequency: index % 11 === 0 ? `${index % 900 + 1}s` : pick(frequencies, index),
    regex: pick(regexes, index) && `${pick(regexes, index)}|${index}`,
  }));
  const lines = written.map(({ address, frequency, regex }) => `${address} ${frequency} ${regex}`);
  lines.splice(50_000, 0, "host.example 5 [");
  lines.push("http://host1.example/health 5");
  const { hosts, problems } = parseHosts(lines.join("\n"), "hosts.txt", "UTC");
  expect(problems).toEqual([
    "hosts.txt:50001:16: [ is not closed: add ], or write \\[ for the sign itself",
    "hosts.txt:100002:1: http://host1.example/health is on line 2 already: remove one, or add a fragment to check the " +
    "page in two ways (http://host1.example/health#2)",
  ]);
  expect(hosts.length).toBe(100_001);
  const wrong = written.filter(({ address, frequency, regex }, index) => {
    const host = hosts[index];
    return host?.address !== address || host.line !== index + (index < 50_000 ? 1 : 2) ||
      host.frequency.text !== frequency || (host.pattern?.source ?? "") !== regex;
  });
  expect(wrong).toEqual([]);
});

describe("parseHosts on files that were made to cost", () => {
  const problemsOf = (text: string) => parseHosts(text, "hosts.txt", "UTC").problems;

  it.each([
    ["a line of 200 KB", ":".repeat(200_000), "the line has 200000 bytes, and 65536 are the most: write a shorter one"],
    [
      "a line of signs of three bytes",
      "€".repeat(30_000),
      "the line has 90000 bytes, and 65536 are the most: write a shorter one",
    ],
  ])("parseHosts reads %s, and says what is wrong", (_, text, message) => {
    expect(problemsOf(text)).toEqual([`hosts.txt:1:1: ${message}`]);
  });

  it("parseHosts hides what may be a password among colons", () => {
    expect(problemsOf(`a.example a${":".repeat(60_000)}x`)).toEqual([
      expect.stringMatching(/^hosts\.txt:1:11: "a:…" is no FREQUENCY/),
    ]);
  });

  it("parseHosts takes a line of as many bytes as there may be", () => {
    expect(problemsOf(`a.example 5m ${"|".repeat(65_536 - 13)}`)).not.toContainEqual(
      expect.stringContaining("the line has"),
    );
  });

  it("parseHosts proposes a fragment that is free", () => {
    const lines = ["a.example 5", "a.example#2 5", "a.example 5", "a.example#4 5", "a.example 5"];
    const proposed = problemsOf(lines.join("\n")).map((problem) => /\((.*)\)$/.exec(problem)?.[1]);
    expect(proposed).toEqual(["a.example#3", "a.example#3"]);
  });

  it("parseHosts tells 1,000 problems in full, and of the others how many they are", () => {
    const problems = problemsOf("a.example 5\n".repeat(40_000));
    expect(problems).toHaveLength(1001);
    expect(problems[999]).toMatch(/^hosts\.txt:1001:1: .*\(a\.example#2\)$/);
    expect(problems[1000]).toBe("hosts.txt: 38999 more problems of this kind and others");
  });

  it("parseHosts shortens what it quotes, and keeps what to write instead", () => {
    const [problem = ""] = problemsOf(`https://${"/".repeat(60_000)} 5m`);
    expect(problem.length).toBeLessThan(2100);
    expect(problem).toMatch(
      /^hosts\.txt:1:1: https:\/\/\/+ … .* write a DOMAIN such as example\.com or https:\/\/example\.com\/health$/,
    );
  });
});

it.each([1, 2, 3, 7])("shardOf gives each of 1,000 hosts to one of %i shards, which are about equal", (count) => {
  const hosts = hostsOf(...Array.from({ length: 1000 }, (_, index) => `https://host${index}.example/ 5`));
  const shards = Array.from({ length: count }, (_, index) => shardOf(hosts, { index: index + 1, count }));
  expect(shards.flat().toSorted((a, b) => a.line - b.line)).toEqual(hosts);
  for (const shard of shards) expect(Math.abs(shard.length * count / 1000 - 1)).toBeLessThan(0.25);
});

it("shardOf leaves an address in its shard, whatever else the file holds", () => {
  const addresses = Array.from({ length: 100 }, (_, index) => `host${index}.example`);
  const shardWith = (...lines: string[]) => shardOf(hostsOf(...lines), { index: 2, count: 3 });
  const among = shardWith(...addresses.map((address) => `${address} 5`)).map(({ address }) => address);
  const alone = addresses.filter((address) => shardWith(`${address} 1h (x)`).length === 1);
  expect(among).toEqual(alone);
});

describe("the warnings of parseHosts", () => {
  const warningsOf = (text: string) => parseHosts(text, "hosts.txt", "UTC").warnings;
  const secret = (name: string) =>
    `${name}= looks like a secret, but an address is shown to everybody, in topic, table and log: ` +
    `write user:password@ in front of the host, if the site takes that, or ask for a page that needs no secret`;

  it("have the place of the REGEX, and of the address", () => {
    expect(warningsOf('a.example 5 costs $5\n  b.example/?a=1&Api_Key=hidden 5m "Sign in"')).toEqual([
      "hosts.txt:1:13: $ is the page's end, behind which nothing comes: write \\$ for the sign itself",
      `hosts.txt:2:3: ${secret("Api_Key")}`,
      "hosts.txt:2:36: the quotes are part of the REGEX, and the page must hold them: leave them out, " +
      'or write \\" where they are meant',
    ]);
  });

  it.each([
    ["/?token=x", "token"],
    ["/a?b=c&access_token=x", "access_token"],
    ["?password=x#part", "password"],
    ["/?b&secret=x", "secret"],
    ["/?key=0123456789abcdefghij", "key"],
    ["/?sig=x", "sig"],
  ])("name a secret in the query of %s, and do not tell it", (rest, name) => {
    expect(warningsOf(`https://me:hidden@a.example${rest} 5`)).toEqual([`hosts.txt:1:1: ${secret(name)}`]);
  });

  it.each(["/?key=house", "/?token=", "/token=x", "/?tokens=2", "/?design=x", "/#token=x", "/?q=token"])(
    "say nothing of %s",
    (rest) => expect(warningsOf(`a.example${rest} 5`)).toEqual([]),
  );

  it("are 50 in full, and of the others how many they are", () => {
    const lines = Array.from({ length: 60 }, (_, n) => `a${n}.example 5 "x"\n`).join("");
    expect(warningsOf(lines)).toHaveLength(51);
    expect(warningsOf(lines).at(-1)).toBe("hosts.txt: 10 more warnings of this kind and others");
  });

  it("are none for hosts.txt.example", () => {
    expect(warningsOf(readFileSync(new URL("../../hosts.txt.example", import.meta.url), "utf8"))).toEqual([]);
  });
});
