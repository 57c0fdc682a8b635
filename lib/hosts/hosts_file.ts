import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import process from "node:process";
import { text } from "node:stream/consumers";
import { setImmediate as otherWork } from "node:timers/promises";
import type { Bell } from "../async/bell.ts";
import { fileChanges } from "../async/file_changes.ts";
import { count } from "../config/count.ts";
import { UsageError } from "../config/usage_error.ts";
import type { Host } from "./hosts.ts";
import { LineReader } from "./hosts_line.ts";
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
  /** A text that differs for different contents. */
  readonly digest: string;
}

/**
 * Reads the hosts of a file, or of this program's shard of them. Throws a `UsageError` with all
 * problems.
 */
export async function readHosts({ hostsFile, timeZone, shard }: HostsFileSettings): Promise<HostsReading> {
  const name = hostsFile === "-" ? "standard input" : hostsFile;
  const content = await readText(hostsFile);
  const file = parseHosts(content, name, timeZone);
  if (file.problems.length > 0) throw new UsageError(file.problems);
  return { ...await contentOf(file, hostsFile, shard), digest: digestOf(content) };
}

async function contentOf({ hosts, warnings }: HostsFile, path: string, shard: Shard): Promise<HostsContent> {
  const hasPasswords = hosts.some(({ authorization }) => authorization !== null);
  const exposed = hasPasswords && await isOpenToAll(path)
    ? [`${path} holds passwords, and every user of this machine may read it: chmod o-r ${path}`]
    : [];
  return { hosts: shardOf(hosts, shard), warnings: [...exposed, ...warnings] };
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
 * Reads a file again whenever its content differs from the last one read (`digest`), and whenever
 * `asked` rings. Gives a `UsageError` instead where something is wrong with it. Ends when `signal`
 * aborts, or at once where no file can be read again.
 */
export async function* rereadHosts(
  { hostsFile, timeZone, shard }: HostsFileSettings,
  digest: string,
  asked: Bell,
  signal: AbortSignal,
): AsyncGenerator<HostsReading | UsageError, void> {
  if (hostsFile === "-") return;
  const file = { paths: [hostsFile], read: () => tryReadText(hostsFile) };
  for await (const { value: content, isAsked } of fileChanges(file, asked, signal)) {
    const found = content instanceof UsageError ? "" : digestOf(content);
    if (found === digest && !isAsked) continue;
    digest = found;
    if (content instanceof UsageError) {
      yield content;
      continue;
    }
    const parsed = await parse(content, hostsFile, timeZone);
    yield parsed.problems.length > 0
      ? new UsageError(parsed.problems)
      : { ...await contentOf(parsed, hostsFile, shard), digest };
  }
}

/**
 * As `parseHosts`, in pieces: 100,000 lines in one piece would make the checks under way seem slow.
 */
async function parse(content: string, name: string, timeZone: string): Promise<HostsFile> {
  const parsing = parseInPieces(content, name, timeZone);
  while (true) {
    const step = parsing.next();
    if (step.done === true) return step.value;
    await otherWork();
  }
}

/**
 * Reads a hosts file (README.md, "The hosts file"). `timeZone` is that of its cron expressions.
 * Never throws for the content of the file.
 */
export function parseHosts(text: string, fileName: string, timeZone: string): HostsFile {
  const parsing = parseInPieces(text, fileName, timeZone);
  let step = parsing.next();
  while (step.done !== true) step = parsing.next();
  return step.value;
}

/** Lines that are read in one piece, which takes some milliseconds. */
const PIECE = 500;

/** As `parseHosts`, but stops now and then, so that the caller can let other work run. */
function* parseInPieces(text: string, fileName: string, timeZone: string): Generator<void, HostsFile> {
  const hosts: Host[] = [];
  const [problems, warnings]: [string[], string[]] = [[], []];
  const reader = new LineReader(fileName, timeZone, { problems, warnings });
  for (const [index, content] of text.split("\n").entries()) {
    if (index % PIECE === PIECE - 1) yield;
    // Files that were joined may have a byte-order mark in the middle.
    const begin = content.startsWith("\uFEFF") ? 1 : 0;
    const end = content.endsWith("\r") ? -1 : undefined;
    const host = reader.read(content.slice(begin, end), index + 1);
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

/** A text that differs for different contents. */
function digestOf(content: string): string {
  return createHash("sha256").update(content).digest("base64");
}

/** As `readText`, but returns the `UsageError`. */
async function tryReadText(path: string): Promise<string | UsageError> {
  try {
    return await readText(path);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/**
 * The content of a file, or of standard input for `-`. Throws a `UsageError` where it cannot be
 * read.
 */
async function readText(path: string): Promise<string> {
  if (path === "-") return await text(process.stdin);
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (code === undefined || name === "NotCapable") throw error;
    throw new UsageError([`${path}: cannot be read (${code}): check the path and the rights of the file`]);
  }
}
