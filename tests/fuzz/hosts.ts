import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { printableJson } from "../../lib/config/terminal.ts";
import type { Random } from "../support/random.ts";
import { COMMANDS, denoMissing, startScript } from "../support/runtimes.ts";
import type { OpenTarget, Target } from "./target.ts";

/** Hosts files: put together from right lines and wrong ones, and damaged. */
export const hosts: Target = {
  name: "hosts",
  about: "hosts files: each is read, or every problem is told with its place, soon, and the same on Node and Deno",
  briefRounds: 300,
  missing: denoMissing,
  open: (random) => Promise.resolve(new HostsFiles(random)),
};

/** Milliseconds for any file: a hundred times the time of the largest one here. */
const LIMIT = 30_000;
const PROBLEM = /^hosts\.txt(?::\d+:\d+)?: ./;
/** Control characters, but for the tab. */
const UNPRINTABLE = /(?!\t)\p{Cc}/u;

class HostsFiles implements OpenTarget {
  readonly #random: Random;
  readonly #readers: readonly Reader[];

  constructor(random: Random) {
    this.#random = random;
    this.#readers = COMMANDS.map(({ command }) => new Reader(command));
  }

  async one(): Promise<void> {
    const text = this.#makeUp();
    const [one = "", other = ""] = await Promise.all(this.#readers.map((reader) => reader.read(text)));
    const { problems, warnings } = JSON.parse(one) as Record<"problems" | "warnings", readonly string[]>;
    const strange = [...problems, ...warnings].find((problem) => !PROBLEM.test(problem) || UNPRINTABLE.test(problem));
    if (strange === undefined && one === other) return;
    const finding = strange === undefined
      ? `Node reads ${one}\nDeno ${other}`
      : `this is no problem for a person: ${strange}`;
    throw new Error(`${finding}\nof the file ${JSON.stringify(text)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader[Symbol.asyncDispose]()));
  }

  #makeUp(): string {
    const random = this.#random;
    const lines = Array.from({ length: random.between(1, 6) }, () => this.#line());
    const text = lines.join(random.pick(["\n", "\r\n"]));
    return random.next() < 0.3 ? this.#damage(text) : text;
  }

  #line(): string {
    const random = this.#random;
    const blank = () => random.pick([" ", " ", "  ", "\t"]);
    if (random.next() < 0.4) {
      const [name, values] = random.pick(Object.entries(OPTIONS));
      return `|${blank()}${name}${blank()}${random.pick(values)}`;
    }
    const regex = random.next() < 0.5 ? "" : blank() + random.pick(REGEXES);
    return `${random.pick(DOMAINS)}${blank()}${random.pick(FREQUENCIES)}${regex}`;
  }

  #damage(text: string): string {
    const random = this.#random;
    const at = random.between(0, text.length);
    const to = at + random.between(0, 8);
    const strange = random.pick(STRANGE);
    return text.slice(0, at) + strange.repeat(random.pick([1, 1, 1, 3, 5000])) + text.slice(random.pick([at, to]));
  }
}

const DOMAINS = [
  "a.example",
  "https://b.example/health?x=1#prices",
  "http://user:p%40ss@c.example",
  "c.example/?a&token=x",
  "localhost:8080",
  "[::1]:80",
  "http://[2001:db8::1]/",
  "münchen.example",
  "xn--mnchen-3ya.example",
  "xn--a.example",
  "XN--.example",
  "0x7f.1",
  "256.1.1.1",
  "a..b",
  "-a-.example",
  "a_b.example",
  "https:/one-slash",
  "ftp://a.example",
  "mailto:a@b.example",
  "user:password",
  "http://",
  "//a.example",
  "a.example:99999",
  "a.example:",
  "例え.jp/ä?ö#ü",
  "a.example/%zz",
  "#comment",
  "ＡＢＣ.example",
  "a。b.example",
  "☃.example",
  "a.example\\b",
  "http://a.example:80/",
  "https://a%2eexample/",
  "١.example",
  "ß.example",
];
const FREQUENCIES = [
  "5",
  "0.5",
  "30s",
  "2h",
  "1d",
  "5 minutes",
  "0",
  "1e3",
  "-1",
  "٣",
  '"*/5 * * * *"',
  '"0 0 29 2 1"',
  '"@hourly"',
  '"*/90 * * * *"',
  '"1 2 3"',
  '"H * * * *"',
  '"* * * * * *"',
  '"0 0 31 2 *"',
  "*/5 * * * *",
  '"*/5 * * * *',
  "“*/5 * * * *”",
  "999999d",
  "0.016",
];
const REGEXES = [
  "(fine)",
  "(?i)Fine",
  "[",
  "(?=a)",
  "\\1",
  "a{1001}",
  "[^a]{1000}",
  "x*{2}",
  "\\p{Greek}",
  "\\pN+",
  "#no",
  "(?P<n>a)(?P<n>b)",
  "[[:alpha:]]",
  "\\Qa.b\\E",
  "(?<n>a)",
  "😀{2}",
  "\\",
  "[z-a]",
  "(a|b)*",
  "minutes",
  "(?x)a",
  "\\C",
  "[^\\x00-\\x{10FFFF}]",
  "é|\\x{e9}",
  '"Sign in"',
  "/sign in/i",
  "$12|(a^b)*",
  "(?m)a^$b",
];
const OPTIONS = {
  "method": ["POST", "HEAD", "post", "TRACE", "GET"],
  "header": [
    "Accept: a/b",
    "Authorization: Bearer ${HOSTS_TOKEN}",
    "X: ${file:package.json}",
    "X: ${file:LICENSE",
    "X: $${HOSTS_A} ${HOSTS_B}",
    "Host: a",
    "Ä: b",
    "X: ${PATH}",
    "X-Ü: ü",
    "no colon",
    ":",
  ],
  "body": ["x", '{"a": "${HOSTS_TOKEN}"}', "${file:deno.json}", "${file:/dev/null}", "${file:tests}"],
  "status": ["200", "200-299 401", "2xx", "299-200", "200,201", "99"],
  "timeout": ["5", "5s", "0.1", "1e3", "9h", "250ms", "٣"],
  "redirects": ["0", "50", "51", "-1"],
  "absent": ["(?i)closed", "[", '"closed"', "${HOSTS_TOKEN}"],
  "max-body": ["1", "64KiB", "5MiB", "0", "1mib"],
  "tiemout": ["5"],
  "": ["", "timeout"],
};
const STRANGE = [
  "\0",
  "\u200b",
  "\ufeff",
  "\u202e",
  "\x1b[31m",
  "\ud800",
  "@",
  ":",
  "//",
  "#",
  '"',
  "'",
  "(",
  "[",
  "\\",
  "{9}",
  "%",
  ".",
  "xn--",
  "\u00ad",
  "\u2028",
  "\r",
  "\ufffd",
  "5m",
  "|",
  "${",
  "}",
];

/** Reads hosts files in a process of a runtime, one after another. */
class Reader implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(command: readonly string[]) {
    this.#child = startScript(command, "hosts_reader.ts");
    if (this.#child.stdout === null) throw new TypeError("The program was started without pipes");
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async read(text: string): Promise<string> {
    // readline ends a line at U+2028 too, which JSON does not escape.
    this.#child.stdin?.write(`${printableJson(JSON.stringify(text))}\n`);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`it takes over ${LIMIT / 1000} s: ${JSON.stringify(text)}`)),
      LIMIT,
    );
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late]);
      if (done) throw new Error(`The process ended at ${JSON.stringify(text)}`);
      return value as string;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.stdin?.end();
    await exit;
  }
}
