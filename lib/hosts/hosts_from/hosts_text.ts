import { count } from "../../config/count.ts";
import { printableInLine } from "../../config/terminal.ts";
import { openSecret, readDomain } from "../address.ts";
import { parseHosts } from "../hosts_file.ts";
import { MOST_LABELS } from "../option_set.ts";
import { isHeaderName, isOpenHeader, LONGEST_LABEL, LONGEST_TIMEOUT, MOST_REDIRECTS } from "../option_values.ts";
import type { References } from "../references.ts";
import {
  basicLogin,
  type ForeignFile,
  type ForeignHost,
  type ForeignSecret,
  type ForeignTls,
  isPath,
} from "./foreign_file.ts";
import { Variables } from "./variables.ts";

/** A hosts file, and how many hosts it has. */
export interface HostsText {
  readonly text: string;
  readonly hosts: number;
}

/** What is written for one host. */
interface HostBlock {
  readonly comments: readonly string[];
  /** The line of the host and its options; empty where it cannot be checked. */
  readonly lines: readonly string[];
  readonly isPaused: boolean;
}

/** Options that are written once, before the first host, where all hosts have them alike. */
const SHARED = /^\| (?:status|timeout|redirects|max-body|tls-verify) /;
const LONGEST_COMMENT = 300;
/** Milliseconds. */
const SHORTEST_INTERVAL = 1000;

/** The hosts file for what another program's file, called `name`, says. Secrets are left out. */
export function hostsText({ program, hosts, remarks }: ForeignFile, name: string): HostsText {
  const writer = new HostsWriter();
  const blocks = hosts.map((host) => writer.block(host));
  const live = blocks.filter(({ lines, isPaused }) => lines.length > 0 && !isPaused);
  const shared = live.length < 2
    ? []
    : (live[0]?.lines ?? []).filter((line) => SHARED.test(line) && live.every(({ lines }) => lines.includes(line)));
  const written = blocks.flatMap(({ lines }) => lines);
  const isWritten = (what: string) => written.some((line) => line.includes(`\${${what}}`) || line.endsWith(` ${what}`));
  const needed = [...writer.needed].filter(([what]) => isWritten(what)).map(([what, why]) => `  ${what}: ${why}`);
  const head = [
    `${count(live.length, "host")} of ${name} (${program}). A comment tells what has no counterpart here.`,
    ...needed.length === 0 ? [] : ["", "Needed before the start:", ...needed],
    ...remarks.length === 0 ? [] : ["", "Not taken over:", ...remarks.map((remark) => `  ${remark}`)],
  ];
  const text = [
    head.map(comment),
    shared,
    ...blocks.map(({ comments, lines, isPaused }) => {
      const own = lines.filter((line) => isPaused || !shared.includes(line));
      return [...comments.map(comment), ...isPaused ? own.map((line) => `# ${line}`) : own];
    }),
  ];
  return {
    text: text.filter(({ length }) => length > 0).map((lines) => `${lines.join("\n")}\n`).join("\n"),
    hosts: live.length,
  };
}

function comment(text: string): string {
  const line = printableInLine(text.toWellFormed()).trimEnd();
  const cut = line.length > LONGEST_COMMENT ? `${line.slice(0, LONGEST_COMMENT).toWellFormed()}…` : line;
  return `# ${cut}`.trimEnd();
}

class HostsWriter {
  readonly #variables = new Variables();
  readonly #files = new Map<string, string>();
  readonly #addresses = new Set<string>();

  /** What must be set or written before the hosts can be checked, each with what it is. */
  get needed(): ReadonlyMap<string, string> {
    return new Map([...this.#variables.needed, ...this.#files]);
  }

  block(host: ForeignHost): HostBlock {
    const { isPaused, name } = host;
    const comments = [name];
    try {
      const address = host.url.trim().replaceAll(" ", "%20");
      const target = readDomain(address);
      const secret = openSecret(target.address);
      if (secret !== null) {
        return { comments: [`${name}: left out, for in its query ${secret}`], lines: [], isPaused };
      }
      const free = isPaused ? target.address : this.#freeAddress(target.address);
      if (free !== target.address) comments.push(`another check of ${target.address}: the fragment tells them apart`);
      const login = target.authorization === null ? null : loginIn(name, target.authorization);
      const lines = [this.#line(host, free, comments), ...this.#options(host, login, comments)];
      const usable = withoutProblems(writable(lines, comments), comments);
      if (usable.length > 0 && !isPaused) this.#addresses.add(free);
      if (usable.length > 0 && isPaused) comments.push("it is paused there: take the # away to have it checked");
      if (host.lacks.length > 0) comments.push(...host.lacks.map((lack) => `no counterpart: ${lack}`));
      return { comments, lines: usable, isPaused };
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return { comments: [`${name}: left out, for ${error.message}`], lines: [], isPaused };
    }
  }

  #freeAddress(address: string): string {
    if (!this.#addresses.has(address)) return address;
    const page = address.split("#", 1)[0] ?? "";
    let number = 2;
    while (this.#addresses.has(`${page}#${number}`)) number++;
    return `${page}#${number}`;
  }

  #line({ interval, regex }: ForeignHost, address: string, comments: string[]): string {
    const isShort = interval < SHORTEST_INTERVAL;
    if (isShort) comments.push("it is checked more than once a second there");
    const frequency = frequencyText(isShort ? SHORTEST_INTERVAL : interval);
    return [address, frequency, ...regex === null || regex === "" ? [] : [regex]].join(" ");
  }

  #options(host: ForeignHost, login: ForeignSecret | null, comments: string[]): string[] {
    const { name, method, body, status, timeout, redirects, maxBody, absent, tls } = host;
    const isOwn = host.headers.some(([header]) => header.toLowerCase() === "authorization");
    const all = login === null || isOwn ? host.headers : [...host.headers, ["Authorization", login] as const];
    const headers = all.filter(([header]) => isHeaderName(header));
    if (headers.length < all.length) comments.push("a header is left out, for its name is none that can be sent");
    if (redirects !== null && redirects > MOST_REDIRECTS) comments.push(`it follows ${redirects} redirects there`);
    if (timeout !== null && timeout > LONGEST_TIMEOUT) comments.push(`it has ${timeout} seconds for a check there`);
    return [
      ...method === null || method === "GET" ? [] : [`| method ${method}`],
      ...headers.map(([header, value]) =>
        `| header ${header}: ${this.#variables.header(header, value, name, isOpenHeader(header))}`.trimEnd()
      ),
      ...body === null ? [] : [`| body ${this.#variables.body(body, name)}`],
      ...status === null ? [] : [`| status ${status}`],
      ...timeout === null || timeout <= 0 ? [] : [`| timeout ${timeoutText(Math.min(timeout, LONGEST_TIMEOUT))}`],
      ...redirects === null || redirects === 10 ? [] : [`| redirects ${Math.min(redirects, MOST_REDIRECTS)}`],
      ...absent === null || absent === "" ? [] : [`| absent ${absent}`],
      ...maxBody === null ? [] : [`| max-body ${maxBody}`],
      ...tls === null ? [] : this.#tls(tls, name, comments),
      ...labelLines(host.labels, comments),
    ];
  }

  #tls({ ca, cert, key, name, isVerified }: ForeignTls, host: string, comments: string[]): string[] {
    const areUsable = [ca, cert, key].every((path) => path === null || isPath(path));
    if (!areUsable) comments.push("its files for TLS are left out: an option cannot name them");
    const file = (option: string, path: string | null, what: string) => {
      if (path === null || !areUsable) return [];
      this.#files.set(path, `${what} for ${JSON.stringify(host)}, a PEM file by its path from this file's folder`);
      return [`| ${option} ${path}`];
    };
    return [
      ...isVerified ? file("tls-ca", ca, "the authorities") : [],
      ...file("tls-cert", cert, "the client's certificate"),
      ...file("tls-key", key, "the client's key"),
      ...name === null ? [] : [`| tls-name ${name}`],
      ...isVerified ? [] : ["| tls-verify off"],
    ];
  }
}

/** Signs that a label cannot hold, and those that change how a line reads. */
const UNSHOWN = /[\p{Cc}\uFFFD\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu;

function loginIn(name: string, authorization: string): ForeignSecret {
  const key = `header ${authorization.slice("Basic ".length)}`;
  return basicLogin(`in the address of ${JSON.stringify(name)}`, key);
}

function labelLines(labels: ForeignHost["labels"], comments: string[]): string[] {
  const known = new Map<string, string>();
  for (const [written, text] of labels) {
    const name = written.replace(/[^\w.-]/g, "_").replace(/^(?![A-Za-z_])/, "_").slice(0, 63);
    const value = text.replaceAll(UNSHOWN, " ").toWellFormed().slice(0, LONGEST_LABEL).trim();
    if (known.has(name)) comments.push(`one label ${name} of several was taken`);
    else if (value !== "") known.set(name, value.toWellFormed());
  }
  const lines = [...known].map(([name, value]) => `| label ${name}=${value}`);
  if (lines.length > MOST_LABELS) comments.push(`${lines.length} labels there: ${MOST_LABELS} are the most here`);
  return lines.slice(0, MOST_LABELS);
}

/** Milliseconds as a FREQUENCY. */
function frequencyText(interval: number): string {
  const [unit, name] = ([[3_600_000, "h"], [60_000, "m"]] as const).find(([unit]) => interval % unit === 0) ??
    [1000, "s"];
  return `${Number((interval / unit).toFixed(3))}${name}`;
}

function timeoutText(seconds: number): string {
  return seconds < 1 ? `${Number((seconds * 1000).toFixed(3))}ms` : `${Number(seconds.toFixed(3))}s`;
}

/** What no line can hold. */
const UNWRITABLE = /[\0\r\n\uFFFD\p{Cs}]/u;

/** Options that fit into a line; of others a comment tells. */
function writable(lines: readonly string[], comments: string[]): string[] {
  return lines.filter((line, index) => {
    const fits = index === 0 || !UNWRITABLE.test(line);
    if (!fits) comments.push(`${optionOf(line)} is left out, for it has a sign that no line of text can hold`);
    return fits;
  });
}

/** An option by its name, of a line that may hold secrets. */
function optionOf(line: string): string {
  return /^\| ((?:(?:header|label) )?[\w.-]+)/.exec(line)?.[1] ?? "an option";
}

/** Every variable is set, so that one is no problem. */
const REFERENCES: References = { variable: () => "value", file: () => Buffer.from("value") };
/** Files for TLS need not be there yet. */
const TLS_FILE = /^\| tls-(?:ca|cert|key) /;

/**
 * The lines of a host that a hosts file can hold: a wrong option becomes a comment. None where the
 * line of the host itself is wrong.
 */
function withoutProblems(lines: readonly string[], comments: string[]): readonly string[] {
  const rest = [...lines];
  for (;;) {
    const tried = rest.map((line) => TLS_FILE.test(line) ? "" : line).join("\n");
    const { problems: [problem], warnings } = parseHosts(tried, "", "UTC", REFERENCES);
    if (problem === undefined) {
      comments.push(...warnings.map((warning) => `to be looked at: ${messageOf(warning).text}`));
      return rest;
    }
    const { index, text } = messageOf(problem);
    comments.push(index === 0 ? `left out, for ${text}` : `${optionOf(rest[index] ?? "")} is left out, for ${text}`);
    if (index === 0) return [];
    rest.splice(index, 1);
  }
}

/** A problem of `parseHosts`, without the name of a file: the index of its line, and the message. */
function messageOf(problem: string): { readonly index: number; readonly text: string } {
  const [, line = "1", text = problem] = /^:(\d+):\d+: (.*)$/s.exec(problem) ?? [];
  return { index: Number(line) - 1, text };
}
