import { readFile } from "node:fs/promises";
import process from "node:process";
import { text } from "node:stream/consumers";
import { type Host, parseHosts, type Shard, shardOf } from "./hosts.ts";
import { UsageError } from "./usage_error.ts";

/** Which hosts to read, and how. */
export interface HostsFileSettings {
  /** `-`: standard input. */
  readonly hostsFile: string;
  /** Of cron expressions: an IANA name. */
  readonly timeZone: string;
  readonly shard: Shard;
}

/** The hosts of a file, or of this program's shard of them. Throws a `UsageError` with everything that is wrong. */
export async function readHosts({ hostsFile, timeZone, shard }: HostsFileSettings): Promise<readonly Host[]> {
  const name = hostsFile === "-" ? "standard input" : hostsFile;
  const { hosts, problems } = parseHosts(await readText(hostsFile), name, timeZone);
  if (problems.length > 0) throw new UsageError(problems);
  return shardOf(hosts, shard);
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
