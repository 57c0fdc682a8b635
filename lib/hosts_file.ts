import { setImmediate as otherWork } from "node:timers/promises";
import type { Bell } from "./bell.ts";
import { fileChanges } from "./file_changes.ts";
import { type Host, parseHosts, parseInPieces, type Shard, shardOf } from "./hosts.ts";
import { digestOf, readText, tryReadText } from "./hosts_file/content.ts";
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
 * file that could be read again.
 */
export async function* rereadHosts(
  { hostsFile, timeZone, shard }: HostsFileSettings,
  digest: string,
  asked: Bell,
  signal: AbortSignal,
): AsyncGenerator<readonly Host[] | UsageError, void> {
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
    const { hosts, problems } = await parse(content, hostsFile, timeZone);
    yield problems.length > 0 ? new UsageError(problems) : shardOf(hosts, shard);
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
