import { count } from "../config/count.ts";
import { invisibleIn, nameFault } from "./host_name.ts";
import { type Pattern, patternReader } from "./pattern.ts";
import { patternDoubt } from "./pattern_doubts.ts";
import { type Frequency, frequencyReader, hashOf } from "./schedule.ts";

/** One line of a hosts file. */
export interface Host {
  /** Number of its line, from 1. */
  readonly line: number;
  /** As written, without `user:password@`: how metrics name the host. */
  readonly address: string;
  /**
   * What is asked for: without user, password and fragment. Made anew at each reading: 100,000 of
   * them would hold 45 MB.
   */
  readonly url: URL;
  /** Value of the Authorization header, where the line names a user. */
  readonly authorization: string | null;
  readonly frequency: Frequency;
  /** What the body must hold; null: any body is valid. */
  readonly pattern: Pattern | null;
}

/** Texts are `file:line:column: what is wrong, and what to write instead`. */
export interface HostsFile {
  readonly hosts: readonly Host[];
  /** Where there is one, nothing may start. */
  readonly problems: readonly string[];
  /** What may be meant, though most likely it is not. */
  readonly warnings: readonly string[];
}

/** Part I of N of the hosts; `index` counts from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** PostgreSQL's index refuses a row of more than 2,700 bytes, and such an address would never have a row. */
const LONGEST_ADDRESS = 2000;
/** Longest line that is read, in bytes; problems that are told in full; and signs of one of them. */
const LONGEST_LINE = 64 * 1024;
const MOST_PROBLEMS = 1000;
const MOST_WARNINGS = 50;
const LONGEST_MESSAGE = 2000;
const EXAMPLE = "a line such as: https://example.com 5m (Example Domain)";

/**
 * Reads a hosts file (contract: "Hosts file"). `timeZone` is the one of its cron expressions. Never
 * throws for what the file holds.
 */
export function parseHosts(text: string, fileName: string, timeZone: string): HostsFile {
  const parsing = parseInPieces(text, fileName, timeZone);
  let step = parsing.next();
  while (step.done !== true) step = parsing.next();
  return step.value;
}

/** Lines that `parseInPieces` reads in one piece, which takes some milliseconds. */
const PIECE = 500;

/** As `parseHosts`, but stops now and then, so that whoever runs it may let others work. */
export function* parseInPieces(text: string, fileName: string, timeZone: string): Generator<void, HostsFile> {
  const hosts: Host[] = [];
  const [problems, warnings]: [string[], string[]] = [[], []];
  const reader: Reader = {
    frequency: frequencyReader(timeZone),
    pattern: patternReader(),
    lineOf: new Map(),
    checksOf: new Map(),
  };
  for (const [index, content] of text.split("\n").entries()) {
    if (index % PIECE === PIECE - 1) yield;
    // Files that were put together may have a byte-order mark within.
    const begin = content.startsWith("\uFEFF") ? 1 : 0;
    const end = content.endsWith("\r") ? -1 : undefined;
    const line = new Line(content.slice(begin, end), index + 1, fileName, { problems, warnings });
    if (line.isSkipped) continue;
    const host = line.isTooLong ? line.reportLength() : readHost(line, reader);
    if (host !== null) hosts.push(host);
  }
  if (hosts.length === 0 && problems.length === 0) {
    problems.push(`${fileName}:1:1: the file names no host: write ${EXAMPLE}`);
  }
  curtail(problems, MOST_PROBLEMS, (more) => `${fileName}: ${count(more, "more problem")} of this kind and others`);
  curtail(warnings, MOST_WARNINGS, (more) => `${fileName}: ${count(more, "more warning")} of this kind and others`);
  return { hosts, problems, warnings };
}

function curtail(texts: string[], most: number, rest: (more: number) => string): void {
  const more = texts.length - most;
  if (more > 0) texts.splice(most, more, rest(more));
}

/** The hosts of a shard. Each address belongs to one shard, whatever else the file holds; shards are about equal. */
export function shardOf(hosts: readonly Host[], { index, count }: Shard): readonly Host[] {
  // Salted: with the bare hash, which also sets the phase of an interval, a shard's hosts would be due in step.
  return count === 1 ? hosts : hosts.filter(({ address }) => hashOf(`shard ${address}`) % count === index - 1);
}

/** True where both mean the same check: neither blanks nor the place in the file count. */
export function isSameHost(one: Host, other: Host): boolean {
  return one.address === other.address && one.authorization === other.authorization &&
    one.frequency.text === other.frequency.text && one.pattern?.source === other.pattern?.source;
}

interface Reader {
  readonly frequency: (text: string) => Frequency;
  readonly pattern: (source: string) => Pattern;
  /** The line of each address. */
  readonly lineOf: Map<string, number>;
  /** The last fragment that was proposed for each page, as a number. */
  readonly checksOf: Map<string, number>;
}

/** What is noted of lines: `HostsFile` in the making. */
interface Notes {
  readonly problems: string[];
  readonly warnings: string[];
}

/** A line and a place in it: gives its fields one after the other, and notes what is wrong with the one given last. */
class Line {
  readonly text: string;
  readonly number: number;
  readonly #fileName: string;
  readonly #notes: Notes;
  #field = 0;
  #next: number;

  constructor(text: string, number: number, fileName: string, notes: Notes) {
    this.text = text.slice(0, endWithoutBlanks(text));
    this.number = number;
    this.#fileName = fileName;
    this.#notes = notes;
    this.#next = skipBlanks(this.text, 0);
  }

  /** True for a blank line and a comment. */
  get isSkipped(): boolean {
    return this.#next === this.text.length || this.text[this.#next] === "#";
  }

  get isTooLong(): boolean {
    // A sign is a byte at least, and three at most.
    return this.text.length * 3 > LONGEST_LINE && Buffer.byteLength(this.text) > LONGEST_LINE;
  }

  reportLength(): null {
    return this.report(
      `the line has ${Buffer.byteLength(this.text)} bytes, and ${LONGEST_LINE} are the most: write a shorter one`,
    );
  }

  /** What is left of the line, without blanks in front. */
  get rest(): string {
    return this.text.slice(this.#next);
  }

  /** The next so many signs, or all up to the next blank. */
  take(length: number = lengthOfField(this.rest)): string {
    this.#field = this.#next;
    const end = this.#field + length;
    this.#next = skipBlanks(this.text, end);
    return this.text.slice(this.#field, end);
  }

  report(message: string): null {
    this.#notes.problems.push(this.#placed(message));
    return null;
  }

  warn(message: string): void {
    this.#notes.warnings.push(this.#placed(message));
  }

  #placed(message: string): string {
    const column = [...this.text.slice(0, this.#field)].length + 1;
    return `${this.#fileName}:${this.number}:${column}: ${showInvisible(shortened(message))}`;
  }
}

/** The end of a message says what to write instead. */
function shortened(message: string): string {
  if (message.length <= LONGEST_MESSAGE) return message;
  const half = LONGEST_MESSAGE / 2;
  return `${message.slice(0, half)} … ${message.slice(-half)}`.toWellFormed();
}

/**
 * A message is one line on a terminal; a blank that is neither space nor tab, and so no blank here,
 * would not be seen.
 */
function showInvisible(text: string): string {
  return text.replace(/(?![ \t])[\p{Cc}\p{Cf}\p{Z}]/gu, (sign) => `\\x{${sign.codePointAt(0)?.toString(16)}}`);
}

function isBlank(sign: string | undefined): boolean {
  return sign === " " || sign === "\t";
}

function skipBlanks(text: string, from: number): number {
  while (isBlank(text[from])) from++;
  return from;
}

function endWithoutBlanks(text: string): number {
  let end = text.length;
  while (isBlank(text[end - 1])) end--;
  return end;
}

function lengthOfField(text: string): number {
  let end = 0;
  while (end < text.length && !isBlank(text[end])) end++;
  return end;
}

function readHost(line: Line, reader: Reader): Host | null {
  const broken = line.rest.search(/[\0\uFFFD]/);
  if (broken >= 0) {
    line.take(broken);
    line.take(0);
    return line.report("this line is not UTF-8 text: save the file as UTF-8");
  }
  const target = readDomain(line);
  if (target !== null) {
    noteAddress(line, target.address, reader);
    const secret = SECRET.exec(target.address);
    if (secret !== null) line.warn(openSecret(secret[1] ?? secret[2] ?? ""));
  }
  const frequency = readFrequency(line, reader);
  // Where the FREQUENCY is wrong, nobody knows where the REGEX begins.
  if (frequency === null) return null;
  const pattern = readPattern(line, reader);
  if (target === null || pattern === undefined) return null;
  return new HostLine(line.number, target, frequency, pattern);
}

/** What services call a secret in a query; a key may be another thing, unless it is long. */
const SECRET =
  /[?&;](?:((?:access|auth|id)?[_-]?token|api[_-]?key|(?:client[_-]?)?secret|passw(?:or)?d|pass|pwd|sig|signature)=[^&;#]|(key)=[^&;#]{20})/i;

function openSecret(name: string): string {
  return `${name}= looks like a secret, but an address is shown to everybody, in topic, table and log: ` +
    `write user:password@ in front of the host, if the site takes that, or ask for a page that needs no secret`;
}

type Target = Pick<Host, "address" | "authorization">;

class HostLine implements Host {
  readonly line: number;
  readonly address: string;
  readonly authorization: string | null;
  readonly frequency: Frequency;
  readonly pattern: Pattern | null;

  constructor(line: number, { address, authorization }: Target, frequency: Frequency, pattern: Pattern | null) {
    this.line = line;
    this.address = address;
    this.authorization = authorization;
    this.frequency = frequency;
    this.pattern = pattern;
  }

  get url(): URL {
    return new URL(pageOf(this.address));
  }
}

/**
 * Addresses that are sure to be right, as nearly all are, known by one look instead of a dozen:
 * with 100,000 hosts the first check comes 0.1 s sooner. What looks like a scheme gone wrong, an
 * odd number or punycode (which Deno checks) is for the dozen to judge.
 */
const PLAIN = (() => {
  const byte = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
  const name = String.raw`(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*|(?:${byte}\.){3}${byte}`;
  const unlike = String.raw`https?(?::|//)|.*xn--`;
  return new RegExp(`^(?:https?://)?(?!${unlike})(?:${name})(?::[1-5]?\\d{1,4})?(?:[/?#][!-~]*)?$`, "i");
})();

function readDomain(line: Line): Target | null {
  const written = line.take();
  if (written.length <= LONGEST_ADDRESS && PLAIN.test(written)) return { address: written, authorization: null };
  const hasScheme = /^https?:/i.test(written);
  if (hasScheme && !/^https?:\/\//i.test(written)) {
    const [, scheme = "", slashes = "", rest = ""] = /^(https?:)([/\\]*)(.*)$/is.exec(written) ?? [];
    const shown = hide(rest);
    return line.report(
      `${scheme}${slashes}${shown} lacks // after "${scheme}": write ${scheme}//${shown || "example.com"}`,
    );
  }
  const colonless = /^(https?)\/\/(.*)$/is.exec(written);
  if (colonless !== null) {
    return line.report(`${hide(written)} lacks a colon: write ${colonless[1]}://${hide(colonless[2] ?? "")}`);
  }
  const twice = /^https?:\/\/(https?:\/*.*)$/is.exec(written)?.[1];
  if (twice !== undefined) return line.report(`${hide(written)} has its scheme twice: write ${hide(twice)}`);
  const other = /^([^/?#]*):\/\//.exec(written)?.[1];
  if (!hasScheme && other !== undefined) {
    return line.report(`${hide(other)}:// cannot be checked: write https:// or http://`);
  }
  const mail = hasScheme ? undefined : /^(mailto|sips?|xmpp|acct|news|cid|mid):/i.exec(written)?.[1];
  if (mail !== undefined) return line.report(`${mail}: cannot be checked: write https:// or http://`);
  const { address, credentials } = splitCredentials(written);
  const problem = problemOf(address, hasScheme);
  if (problem !== null) return line.report(problem);
  return { address, authorization: credentials ? basic(credentials) : null };
}

/** Why an address cannot be checked or stored; null where it can. */
function problemOf(address: string, hasScheme: boolean): string | null {
  const begin = hasScheme ? address.indexOf("//") + 2 : 0;
  if (/^(?:[/\\?#:]|$)/.test(address.slice(begin))) {
    return `${
      hide(address) || "the line"
    } names no host: write a DOMAIN such as example.com or https://example.com/health`;
  }
  // Of long names the runtimes do not think alike.
  if (Buffer.byteLength(address) > LONGEST_ADDRESS) {
    return `an address of more than ${LONGEST_ADDRESS} bytes cannot be stored: write a shorter one`;
  }
  const end = address.slice(begin).search(/[/\\?#]/);
  const pathBegin = end < 0 ? address.length : begin + end;
  const invisible = invisibleIn(address.slice(0, pathBegin), address.slice(pathBegin));
  if (invisible !== null) {
    return `${hide(address)} holds ${invisible}, which nobody sees: leave it out, or write a plain space or %XX`;
  }
  const url = URL.parse(pageOf(address));
  const fault = url === null ? null : nameFault(url.hostname);
  if (fault === "punycode") return notPunycode(address);
  if (url !== null && fault === "signs") {
    return `${hide(url.hostname)} is no name that a host can have: write one such as www.example.com`;
  }
  if (url === null && /(?:^|[/.])xn--/i.test(address.slice(0, pathBegin))) return notPunycode(address);
  if (url === null) {
    return `${hide(address)} is no address: write a DOMAIN such as example.com or https://example.com/health`;
  }
  if (!address.isWellFormed()) return `the address holds half a character: write it as %XX`;
  return null;
}

function notPunycode(address: string): string {
  return `${hide(address)} has a name whose xn-- is no punycode: write the name itself, such as grün.example`;
}

/** An address as a URL: with a scheme, and without its fragment. */
function pageOf(address: string): string {
  const fragment = address.indexOf("#");
  const page = fragment < 0 ? address : address.slice(0, fragment);
  return hasScheme(page) ? page : `https://${page}`;
}

/** False where `https://` is put in front of an address. */
export function hasScheme(address: string): boolean {
  return /^https?:\/\//i.test(address);
}

/** Cuts `user:password@` out of what was written. */
function splitCredentials(written: string): { address: string; credentials: string | null } {
  const begin = /^https?:\/\//i.exec(written)?.[0].length ?? 0;
  const length = written.slice(begin).search(/[/\\?#]/);
  const authority = length < 0 ? written.slice(begin) : written.slice(begin, begin + length);
  const at = authority.lastIndexOf("@");
  if (at < 0) return { address: written, credentials: null };
  return { address: written.slice(0, begin) + written.slice(begin + at + 1), credentials: authority.slice(0, at) };
}

/** RFC 7617; percent-encoding lets a password hold any sign. */
function basic(credentials: string): string {
  const colon = credentials.indexOf(":");
  const user = colon < 0 ? credentials : credentials.slice(0, colon);
  const password = colon < 0 ? "" : credentials.slice(colon + 1);
  return `Basic ${Buffer.from(`${decode(user)}:${decode(password)}`).toString("base64")}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A password with a bare % in it.
  }
}

/** Leaves out what may be a password: messages end in logs. */
function hide(written: string): string {
  const at = written.lastIndexOf("@");
  if (at >= 0) return `…${written.slice(at)}`;
  const colon = secretColon(written);
  return colon === -1 ? written : `${written.slice(0, colon)}:…`;
}

/**
 * Where a password may begin: a user:password that lacks its @ looks like a host with a port, but
 * for the letters. -1 where none does.
 */
function secretColon(written: string): number {
  let portEnd = 0;
  for (let colon = written.indexOf(":"); colon !== -1; colon = written.indexOf(":", colon + 1)) {
    // Found once for all colons of a row: looked for from each of them, a line of colons would take minutes.
    if (portEnd <= colon) portEnd = colon + 1;
    while (portEnd < written.length && /[\d:]/.test(written[portEnd] as string)) portEnd++;
    const isPort = portEnd === written.length || /[\]/?#]/.test(written[portEnd] as string);
    if (!isPort && !written.startsWith("//", colon + 1)) return colon;
  }
  return -1;
}

/** Reports an address that a line above has. */
function noteAddress(line: Line, address: string, { lineOf, checksOf }: Reader): void {
  const first = lineOf.get(address);
  if (first === undefined) {
    lineOf.set(address, line.number);
    return;
  }
  const page = address.split("#", 1)[0] ?? "";
  let check = checksOf.get(page) ?? 2;
  while (lineOf.has(`${page}#${check}`)) check++;
  // So that many of one page do not look for a number from the first one on.
  checksOf.set(page, check);
  line.report(
    `${address} is on line ${first} already: remove one, or add a fragment to check the page in two ways (${page}#${check})`,
  );
}

function readFrequency(line: Line, reader: Reader): Frequency | null {
  const { rest } = line;
  if (rest === "") {
    line.take(0);
    return line.report(
      "FREQUENCY is missing: write minutes (5), a number with a unit (30s, 2h) or a cron expression in double quotes",
    );
  }
  const unquoted = forgottenQuotes(rest);
  if (unquoted !== null) {
    line.take(0);
    return line.report(`put the cron expression in double quotes: "${unquoted}"`);
  }
  const text = line.take(rest.startsWith('"') ? lengthOfQuoted(rest) : lengthOfField(rest));
  if (text.startsWith('"') && lengthOfField(rest.slice(text.length)) > 0) {
    return line.report(`a blank is missing after ${text}`);
  }
  try {
    // Where a password holds a blank, the rest of it ends up here.
    return reader.frequency(text.startsWith('"') ? text : hide(text));
  } catch (error) {
    return line.report((error as Error).message);
  }
}

function lengthOfQuoted(text: string): number {
  const end = text.indexOf('"', 1);
  return end < 0 ? text.length : end + 1;
}

const NAME = "sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec";
const ITEM = String.raw`(?:[*?]|\d{1,2}|L|${NAME})(?:-(?:\d{1,2}|${NAME}))?(?:/\d+|#\d|L)?`;
const CRON_FIELD = new RegExp(`^${ITEM}(?:,${ITEM})*$`, "i");
/** A number with a unit: nothing that cron could hold, so that what follows need not be looked at. */
const WITH_UNIT = /^[\d.]+[smhd](?:[ \t]|$)/;
const QUOTES = /^(?:'([^']*)'|[“”„«]([^“”»]*)[“”»])/;

/** The cron expression that a line's rest begins with, where it stands without its double quotes; else null. */
function forgottenQuotes(rest: string): string | null {
  if (rest.startsWith('"') || WITH_UNIT.test(rest)) return null;
  const quoted = QUOTES.exec(rest);
  if (quoted !== null) return quoted[1] ?? quoted[2] ?? "";
  const first = rest.slice(0, lengthOfField(rest));
  if (/^@\w+$/.test(first)) return first;
  const fields = leadingCronFields(rest);
  // Fewer may be a number and a REGEX that begins with numbers, or a slip such as 0,5; only cron begins with * or ?.
  return fields.length >= 5 || /^[*?]/.test(fields[0] ?? "") ? fields.join(" ") : null;
}

/** The fields, six at most, with which a text begins and which cron could hold. */
function leadingCronFields(text: string): string[] {
  const fields: string[] = [];
  for (let rest = text; fields.length < 6 && rest !== ""; rest = rest.slice(skipBlanks(rest, lengthOfField(rest)))) {
    const field = rest.slice(0, lengthOfField(rest));
    if (!CRON_FIELD.test(field)) break;
    fields.push(field);
  }
  return fields;
}

/** What "5 minutes" leaves behind where it was meant for a FREQUENCY. */
const UNIT = /^(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$/i;

/** Undefined: it is wrong, and has been reported. */
function readPattern(line: Line, reader: Reader): Pattern | null | undefined {
  const source = line.take(line.rest.length);
  if (source === "") return null;
  if (source.startsWith("#")) {
    line.report("a comment needs its own line; a REGEX that begins with # is written \\#");
    return undefined;
  }
  if (UNIT.test(source)) {
    line.report(
      `${source} would be the REGEX: write the unit at the number (5m), or (${source}) if the page must hold that`,
    );
    return undefined;
  }
  try {
    const pattern = reader.pattern(source);
    const doubt = patternDoubt(source);
    if (doubt !== null) line.warn(doubt);
    return pattern;
  } catch (error) {
    line.report((error as Error).message);
    return undefined;
  }
}
