import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { buffer } from "node:stream/consumers";
import type { Bell } from "../async/bell.ts";
import { fileChanges } from "../async/file_changes.ts";
import { atOnce, inPieces, type Pieces } from "../async/pieces.ts";
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
  const texts = await readTexts(hostsFile);
  // Nothing else is to be done yet.
  const { hosts, hasSecrets, problems, warnings } = atOnce(readInPieces(texts, timeZone, shard));
  if (problems.length > 0) throw new UsageError(problems);
  const exposed = hasSecrets ? await warningsOf(hostsFile) : [];
  return { hosts, warnings: [...exposed, ...warnings], ...atOnce(digestsOf(texts)) };
}

/** The content of a hosts file, and the files to which it refers. */
interface Texts {
  readonly path: string;
  readonly bytes: Buffer;
  readonly text: string;
  readonly files: ReferencedFiles;
}

/** A file that was read, and of which a shard was taken. */
interface ShardFile extends HostsFile {
  /** True where a secret stands in the hosts file itself. */
  readonly hasSecrets: boolean;
}

/** As `parseHosts`; of what it brings, the hosts of a shard. */
function* readInPieces({ path, text, files }: Texts, timeZone: string, shard: Shard): Pieces<ShardFile> {
  const name = path === "-" ? "standard input" : path;
  const file = yield* parseInPieces(text, name, timeZone, files);
  const hosts: Host[] = [];
  let hasSecrets = false;
  for (const host of file.hosts) {
    hasSecrets ||= holdsSecret(host);
    if (isInShard(host.address, shard)) hosts.push(host);
    yield;
  }
  return { ...file, hosts, hasSecrets };
}

/** Bytes of which a digest is made in a millisecond. */
const DIGEST_PIECE = 128 * 1024;

/** The digests of a reading. */
function* digestsOf({ path, bytes, files }: Texts): Pieces<Pick<HostsReading, "digest" | "sources">> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += DIGEST_PIECE) {
    hash.update(bytes.subarray(at, at + DIGEST_PIECE));
    yield;
  }
  const digest = hash.copy().digest("base64");
  for (const [path, content] of files.contents()) {
    hash.update(`\0${path}\0`).update(content);
    yield;
  }
  return { digest, sources: { paths: [path, ...files.paths], digest: hash.digest("base64") } };
}

/** Warnings about the file of a hosts file that holds secrets. */
async function warningsOf(path: string): Promise<readonly string[]> {
  if (!await isOpenToAll(path)) return [];
  return [`${path} holds passwords, and every user of this machine may read it: chmod o-r ${path}`];
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
export function shardOf(hosts: readonly Host[], shard: Shard): readonly Host[] {
  return hosts.filter(({ address }) => isInShard(address, shard));
}

function isInShard(address: string, { index, count }: Shard): boolean {
  // Salted: the bare hash also sets the phase of an interval. With it, a shard's hosts would be due
  // at the same time.
  return count === 1 || hashOf(`shard ${address}`) % count === index - 1;
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
 * wrong with it. Ends when `signal` aborts, or at once where no file can be read again. It reads in
 * pieces: 100,000 lines in one piece would make the checks under way seem slow.
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
    const digests = texts instanceof UsageError
      ? { digest: "", sources: { ...sources, digest: "" } }
      : await inPieces(digestsOf(texts));
    const isSame = digests.sources.digest === sources.digest;
    sources = digests.sources;
    if (isSame && !isAsked) continue;
    if (texts instanceof UsageError) {
      yield texts;
      continue;
    }
    const { hosts, hasSecrets, problems, warnings } = await inPieces(readInPieces(texts, timeZone, shard));
    const exposed = hasSecrets ? await warningsOf(hostsFile) : [];
    yield problems.length > 0 ? new UsageError(problems) : { hosts, warnings: [...exposed, ...warnings], ...digests };
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
  return atOnce(parseInPieces(text, fileName, timeZone, references));
}

/** As `parseHosts`, but rests now and then, so that the caller can let other work run. */
function* parseInPieces(
  text: string,
  fileName: string,
  timeZone: string,
  references: References,
): Pieces<HostsFile> {
  const [problems, warnings]: [string[], string[]] = [[], []];
  const reader = new LineReader(fileName, timeZone, references, { problems, warnings });
  for (let [start, number] = [0, 1]; start <= text.length; number++) {
    yield;
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

/** Reads a hosts file and the files to which it refers. Throws a `UsageError` instead. */
async function readTexts(path: string): Promise<Texts> {
  const bytes = await readBytes(path);
  const text = bytes.toString();
  const files = await ReferencedFiles.read(text, path === "-" ? "." : dirname(path), hostsVariable);
  return { path, bytes, text, files };
}

/** As `readTexts`; returns the `UsageError`. */
async function tryReadTexts(path: string): Promise<Texts | UsageError> {
  try {
    return await readTexts(path);
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
  return (await readBytes(path)).toString();
}

async function readBytes(path: string): Promise<Buffer> {
  if (path === "-") return await buffer(process.stdin);
  try {
    return await readFile(path);
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (code === undefined || name === "NotCapable") throw error;
    throw new UsageError([`${path}: cannot be read (${code}): check the path and the rights of the file`]);
  }
}
