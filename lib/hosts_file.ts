import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import process from "node:process";
import { text } from "node:stream/consumers";
import { setImmediate as otherWork, setTimeout as delay } from "node:timers/promises";
import type { Bell } from "./bell.ts";
import { type Host, parseHosts, parseInPieces, type Shard, shardOf } from "./hosts.ts";
import { UsageError } from "./usage_error.ts";

/** Which hosts to read, and how. */
export interface HostsFileSettings {
  /** `-`: standard input. */
  readonly hostsFile: string;
  /** Of cron expressions: an IANA name. */
  readonly timeZone: string;
  readonly shard: Shard;
}

/** What was read. */
export interface HostsReading {
  /** Of this program's shard. */
  readonly hosts: readonly Host[];
  /** Tells one content of the file from another. */
  readonly digest: string;
}

/** Milliseconds from one look at the file to the next. Looking works everywhere; being told of changes does not. */
const LOOK_INTERVAL = 1000;
/** Milliseconds that a file must stay as it is before it is read: it may be half written. */
const SETTLED_AFTER = 300;

/** The hosts of a file, or of this program's shard of them. Throws a `UsageError` with everything that is wrong. */
export async function readHosts({ hostsFile, timeZone, shard }: HostsFileSettings): Promise<HostsReading> {
  const name = hostsFile === "-" ? "standard input" : hostsFile;
  const content = await readText(hostsFile);
  const { hosts, problems } = parseHosts(content, name, timeZone);
  if (problems.length > 0) throw new UsageError(problems);
  return { hosts: shardOf(hosts, shard), digest: digestOf(content) };
}

/**
 * The hosts of a file again, whenever its content is no longer the one of `digest`, the last one read, and whenever `asked`
 * rings; a `UsageError` in their place where something is wrong with it. Ends when `signal` aborts; at once where there is no
 * file that could be read again. It goes by what the path leads to, so that an editor's rename and a changed symbolic link
 * (a Kubernetes ConfigMap) are changes too.
 */
export async function* rereadHosts(
  { hostsFile, timeZone, shard }: HostsFileSettings,
  digest: string,
  asked: Bell,
  signal: AbortSignal,
): AsyncGenerator<readonly Host[] | UsageError, void> {
  if (hostsFile === "-" || await look(hostsFile) === NO_FILE) return;
  // The content may have changed since it was read, before anybody looked.
  let seen = "";
  while (true) {
    const isAsked = await asked.wait(LOOK_INTERVAL, signal);
    if (signal.aborted) return;
    if (!isAsked && await look(hostsFile) === seen) continue;
    const settled = await readSettled(hostsFile, signal);
    if (settled === null) return;
    seen = settled.look;
    const found = settled.content instanceof UsageError ? "" : digestOf(settled.content);
    if (found === digest && !isAsked) continue;
    digest = found;
    if (settled.content instanceof UsageError) {
      yield settled.content;
      continue;
    }
    const { hosts, problems } = await parse(settled.content, hostsFile, timeZone);
    yield problems.length > 0 ? new UsageError(problems) : shardOf(hosts, shard);
  }
}

/** Reads a file once it has stopped changing; null where `signal` aborts first. */
async function readSettled(path: string, signal: AbortSignal) {
  let before = await look(path);
  while (true) {
    await delay(SETTLED_AFTER, undefined, { signal }).catch(() => {});
    if (signal.aborted) return null;
    const content = await tryRead(path);
    const after = await look(path);
    if (after === before) return { look: after, content };
    before = after;
  }
}

async function tryRead(path: string): Promise<string | UsageError> {
  try {
    return await readText(path);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** As `parseHosts`, in pieces: 100,000 lines at a time would make the checks under way seem slow. */
async function parse(content: string, name: string, timeZone: string) {
  const parsing = parseInPieces(content, name, timeZone);
  while (true) {
    const step = parsing.next();
    if (step.done === true) return step.value;
    await otherWork();
  }
}

/** What a path leads to, as a text that changes with it. */
async function look(path: string): Promise<string> {
  try {
    const found = await stat(path);
    return found.isFile() ? [found.dev, found.ino, found.size, found.mtimeMs, found.ctimeMs].join() : NO_FILE;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
}

/** A pipe, say, which gives what it holds once. */
const NO_FILE = "no file";

function digestOf(content: string): string {
  return createHash("sha256").update(content).digest("base64");
}

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
