import { createHash, type Hash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { setImmediate as otherWork } from "node:timers/promises";
import type { Bell } from "../async/bell.ts";
import { fileChanges } from "../async/file_changes.ts";
import { count } from "../config/count.ts";
import { hostsVariable } from "../config/environment.ts";
import { UsageError } from "../config/usage_error.ts";
import type { Host } from "./hosts.ts";
import { LineReader } from "./line_reader.ts";
import { ReferencedFiles } from "./referenced_files.ts";
import { NO_REFERENCES, type References } from "./references.ts";
import { hashOf } from "./schedule.ts";

/** How many problems and warnings are told in full. */
const MOST_PROBLEMS = 1000;
const MOST_WARNINGS = 50;
const EXAMPLE = "a line such as: https://example.com 5m (Example Domain)";

/** Part I of N of the hosts; `index` counts from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Which hosts to read, and how. */
export interface HostsFileSettings {
  /** `-`: standard input. */
  readonly hostsFile: string;
  /** Time zone of cron expressions: an IANA name. */
  readonly timeZone: string;
  readonly shard: Shard;
}

/** Problems and warnings are `file:line:column: what is wrong, and what to write instead`. */
export interface HostsFile {
  readonly hosts: readonly Host[];
  /** Where there is one, nothing may start. */
  readonly problems: readonly string[];
  /** Doubts: the line may mean what it says, but most likely does not. */
  readonly warnings: readonly string[];
}

/** The content of a file without a problem. */
export interface HostsContent {
  /** The hosts of this program's shard. */
  readonly hosts: readonly Host[];
  /** What a person should look at, one line each. */
  readonly warnings: readonly string[];
}

/** One reading of a file. */
export interface HostsReading extends HostsContent {
  /**
   * A text that differs for different contents of the hosts file. Others may see it: it is made of
   * no variable and of no other file, which hold secrets.
   */
  readonly digest: string;
  /** The files that were read, and a text that differs for different contents of them. */
  readonly sources: HostsSources;
}

/** The files of one reading: the hosts file, and those that it refers to. */
export interface HostsSources {
  readonly paths: readonly string[];
  readonly digest: string;
}

/**
 * Reads the hosts of a file, or of this program's shard of them. Throws a `UsageError` with all
 * problems.
 */
export async function readHosts({ hostsFile, timeZone, shard }: HostsFileSettings): Promise<HostsReading> {
  const text = await readText(hostsFile);
  const files = await filesOf(text, hostsFile);
  const file = parseHosts(text, hostsFile === "-" ? "standard input" : hostsFile, timeZone, files);
  if (file.problems.length > 0) throw new UsageError(file.problems);
  return await readingOf(file, { text, files }, hostsFile, shard);
}

/** Reads the files to which a hosts file refers. */
async function filesOf(text: string, hostsFile: string): Promise<ReferencedFiles> {
  return await ReferencedFiles.read(text, hostsFile === "-" ? "." : dirname(hostsFile), hostsVariable);
}

/** A hosts file's text, and the files to which it refers. */
interface Texts {
  readonly text: string;
  readonly files: ReferencedFiles;
}

async function readingOf(file: HostsFile, texts: Texts, path: string, shard: Shard): Promise<HostsReading> {
  return { ...await contentOf(file, path, shard), digest: digestOf(texts.text), sources: sourcesOf(texts, path) };
}

function sourcesOf({ text, files }: Texts, path: string): HostsSources {
  const hash = hashOfText(text);
  for (const [path, content] of files.contents()) hash.update(`\0${path}\0`).update(content);
  return { paths: [path, ...files.paths], digest: hash.digest("base64") };
}

async function contentOf({ hosts, warnings }: HostsFile, path: string, shard: Shard): Promise<HostsContent> {
  const hasPasswords = hosts.some(holdsSecret);
  const exposed = hasPasswords && await isOpenToAll(path)
    ? [`${path} holds passwords, and every user of this machine may read it: chmod o-r ${path}`]
    : [];
  return { hosts: shardOf(hosts, shard), warnings: [...exposed, ...warnings] };
}

/** The names of headers that hold a secret. */
const SECRET_HEADER = /authorization|cookie|token|key|secret|passw/i;

/** True where a secret stands in the hosts file itself. */
function holdsSecret({ authorization, options }: Host): boolean {
  const isSecret = options?.headers.some(({ name, isLiteral }) => isLiteral && SECRET_HEADER.test(name));
  return authorization !== null || isSecret === true;
}

/**
 * The hosts of a shard. Each address belongs to one shard, whatever else the file holds. Shards are
 * about equal.
 */
export function shardOf(hosts: readonly Host[], { index, count }: Shard): readonly Host[] {
  // Salted: the bare hash also sets the phase of an interval. With it, a shard's hosts would be due
  // at the same time.
  return count === 1 ? hosts : hosts.filter(({ address }) => hashOf(`shard ${address}`) % count === index - 1);
}

/**
 * True where others than owner and group may read it. Windows has no such rights, and a missing
 * file is open to nobody.
 */
async function isOpenToAll(path: string): Promise<boolean> {
  if (path === "-" || process.platform === "win32") return false;
  const found = await stat(path).catch(() => null);
  return found !== null && found.isFile() && (found.mode & 0o004) !== 0;
}

/**
 * Reads a file again whenever it, or a file to which it refers, has another content than at the last
 * reading (`sources`), and whenever `asked` rings. Gives a `UsageError` instead where something is
 * wrong with it. Ends when `signal` aborts, or at once where no file can be read again.
 */
export async function* rereadHosts(
  { hostsFile, timeZone, shard }: HostsFileSettings,
  sources: HostsSources,
  asked: Bell,
  signal: AbortSignal,
): AsyncGenerator<HostsReading | UsageError, void> {
  if (hostsFile === "-") return;
  const file = { paths: () => sources.paths, read: () => tryReadTexts(hostsFile) };
  for await (const { value: texts, isAsked } of fileChanges(file, asked, signal)) {
    const found = texts instanceof UsageError ? { ...sources, digest: "" } : sourcesOf(texts, hostsFile);
    const isSame = found.digest === sources.digest;
    sources = found;
    if (isSame && !isAsked) continue;
    if (texts instanceof UsageError) {
      yield texts;
      continue;
    }
    const parsed = await parse(texts, hostsFile, timeZone);
    yield parsed.problems.length > 0
      ? new UsageError(parsed.problems)
      : await readingOf(parsed, texts, hostsFile, shard);
  }
}

/**
 * As `parseHosts`, in pieces: 100,000 lines in one piece would make the checks under way seem slow.
 */
async function parse({ text, files }: Texts, name: string, timeZone: string): Promise<HostsFile> {
  const parsing = parseInPieces(text, name, timeZone, files);
  while (true) {
    const step = parsing.next();
    if (step.done === true) return step.value;
    await otherWork();
  }
}

/**
 * Reads a hosts file (docs/hosts.md). `timeZone` is that of its cron expressions. Never throws for
 * the content of the file.
 */
export function parseHosts(
  text: string,
  fileName: string,
  timeZone: string,
  references: References = NO_REFERENCES,
): HostsFile {
  const parsing = parseInPieces(text, fileName, timeZone, references);
  let step = parsing.next();
  while (step.done !== true) step = parsing.next();
  return step.value;
}

/** Lines that are read in one piece, which takes some milliseconds. */
const PIECE = 500;

/** As `parseHosts`, but stops now and then, so that the caller can let other work run. */
function* parseInPieces(
  text: string,
  fileName: string,
  timeZone: string,
  references: References,
): Generator<void, HostsFile> {
  const [problems, warnings]: [string[], string[]] = [[], []];
  const reader = new LineReader(fileName, timeZone, references, { problems, warnings });
  for (let [start, number] = [0, 1]; start <= text.length; number++) {
    if (number % PIECE === 0) yield;
    const newline = text.indexOf("\n", start);
    const next = newline === -1 ? text.length : newline;
    // Files that were joined may have a byte-order mark in the middle.
    const begin = text[start] === "\uFEFF" ? start + 1 : start;
    const end = next > begin && text[next - 1] === "\r" ? next - 1 : next;
    reader.read(text.slice(begin, end), number);
    start = next + 1;
  }
  const hosts = reader.end();
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

/** A text that differs for different contents. */
function digestOf(content: string): string {
  return hashOfText(content).digest("base64");
}

function hashOfText(content: string): Hash {
  return createHash("sha256").update(content);
}

/** Reads a hosts file and the files to which it refers; returns a `UsageError` instead. */
async function tryReadTexts(path: string): Promise<Texts | UsageError> {
  try {
    const text = await readText(path);
    return { text, files: await filesOf(text, path) };
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/**
 * The content of a file, or of standard input for `-`. Throws a `UsageError` where it cannot be
 * read.
 */
export async function readText(path: string): Promise<string> {
  if (path === "-") return await text(process.stdin);
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (code === undefined || name === "NotCapable") throw error;
    throw new UsageError([`${path}: cannot be read (${code}): check the path and the rights of the file`]);
  }
}
