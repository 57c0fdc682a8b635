import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { HostsFromFiles } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { readText } from "./hosts_file.ts";
import { modulesOf } from "./hosts_from/blackbox_modules.ts";
import type { ForeignFile } from "./hosts_from/foreign_file.ts";
import { readGatus } from "./hosts_from/gatus.ts";
import { hostsText } from "./hosts_from/hosts_text.ts";
import type { PlainObject } from "./hosts_from/plain_values.ts";
import { isTargetList, readPrometheus, readTargetList, targetFiles } from "./hosts_from/prometheus.ts";
import { readDocument } from "./hosts_from/document.ts";
import { readUptimeKuma } from "./hosts_from/uptime_kuma.ts";

/**
 * A hosts file for the file of another program. It has no secret: variables stand for them. Throws a
 * `UsageError` where no host comes of it.
 */
export async function hostsFrom({ file, modules }: HostsFromFiles): Promise<string> {
  const name = file === "-" ? "standard input" : file;
  const document = await readDocument(await readText(file), name);
  const known = modules === null ? {} : await readModules(modules);
  const found = await readForeign(document, file, known);
  if (found === null) throw new UsageError([`${name}: ${unknownFile(document)}`]);
  const { text, hosts } = hostsText(found, name);
  if (hosts > 0) return text;
  const reasons = text.split("\n").filter((line) => line.startsWith("# ")).slice(1);
  throw new UsageError([`${name}: no web site is checked there`, ...reasons.map((line) => line.slice(2))]);
}

function unknownFile(document: unknown): string {
  const whose = modulesOf(document) === null ? "" : "the blackbox_exporter's modules name no targets: ";
  return `${whose}write an Uptime Kuma backup (monitorList), a list of its monitors, ` +
    "a Gatus configuration (endpoints), a configuration of Prometheus (scrape_configs) or a list of its targets";
}

async function readModules(path: string): Promise<PlainObject> {
  const modules = modulesOf(await readDocument(await readText(path), path));
  if (modules === null) {
    throw new UsageError([
      `${path}: has no modules: name the configuration of the blackbox_exporter behind --from FILE`,
    ]);
  }
  return modules;
}

async function readForeign(document: unknown, file: string, modules: PlainObject): Promise<ForeignFile | null> {
  if (isTargetList(document)) return readTargetList(document, modules);
  const folder = file === "-" ? "." : dirname(file);
  const targets = new Map<string, readonly unknown[] | null>();
  for (const pattern of targetFiles(document)) targets.set(pattern, await readTargets(folder, pattern));
  return readUptimeKuma(document) ?? readGatus(document) ??
    readPrometheus(document, modules, (pattern) => targets.get(pattern) ?? null);
}

/** The files of a pattern, which may have a star in its last part. Null where none can be read. */
async function readTargets(folder: string, pattern: string): Promise<readonly unknown[] | null> {
  const place = resolve(folder, dirname(pattern));
  const [begin = "", ...rest] = basename(pattern).split("*");
  const names = rest.length === 0
    ? [begin]
    : (await readdir(place).catch(() => [])).filter((name) => name.startsWith(begin) && name.endsWith(rest.join("*")));
  const documents: unknown[] = [];
  for (const name of names.toSorted()) {
    const path = join(place, name);
    const text = await readFile(path, "utf8").catch(() => null);
    if (text !== null) documents.push(await readDocument(text, path));
  }
  return documents.length === 0 ? null : documents;
}
