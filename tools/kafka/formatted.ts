import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { madeOnce } from "../made_once.ts";

const run = promisify(execFile);

/** The number of the only node. */
export const NODE_ID = 1;

/** The records with which the metadata begin: the features, and who may log in. */
const RECORDS = "bootstrap.checkpoint";
/** Whose folder it is. */
const PROPERTIES = "meta.properties";

export interface FormatOptions {
  /** The folder with the broker's jars. */
  readonly lib: string;
  readonly javaFlags: readonly string[];
  /** Who may log in with SCRAM, and the passwords. */
  readonly users: Readonly<Record<string, string>>;
}

/** Where a broker keeps what it has. */
export interface DataFolders {
  /** The logs of the topics. */
  readonly logs: readonly string[];
  /** The log of the metadata: one of the others, or a folder of its own. */
  readonly metadata: string;
}

/**
 * Makes the data folders of a new cluster, as `StorageTool format` does. That tool is a Java
 * program, which takes 1.3 s of a core. So it runs once for the same users, and each cluster gets a
 * copy with ids of its own.
 */
export async function format({ logs, metadata }: DataFolders, options: FormatOptions): Promise<void> {
  const users = JSON.stringify(options.users);
  const hash = createHash("sha256").update(users).digest("hex").slice(0, 12);
  const made = await madeOnce(`${basename(options.lib)}-formatted-${hash}`, (folder) => runTool(folder, options));
  await mkdir(metadata, { recursive: true });
  await copyFile(join(made, RECORDS), join(metadata, RECORDS));
  const cluster = newId();
  for (const folder of new Set([...logs, metadata])) {
    const properties = { "version": 1, "node.id": NODE_ID, "cluster.id": cluster, "directory.id": newId() };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
    await mkdir(folder, { recursive: true });
    // Last of all: a folder with this file is formatted.
    await writeFile(join(folder, PROPERTIES), lines.join(""));
  }
}

/** True if the folders belong to a cluster. */
export function isFormatted({ metadata }: DataFolders): boolean {
  return existsSync(join(metadata, PROPERTIES));
}

async function runTool(folder: string, { lib, javaFlags, users }: FormatOptions): Promise<void> {
  const settings = join(folder, "server.properties");
  const lines = [
    "process.roles=broker,controller",
    `node.id=${NODE_ID}`,
    `controller.quorum.voters=${NODE_ID}@127.0.0.1:1`,
    "controller.listener.names=CONTROLLER",
    "listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1",
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    `log.dirs=${folder}`,
  ];
  await writeFile(settings, lines.map((line) => `${line}\n`).join(""));
  const scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) =>
    Object.entries(users).flatMap(([name, password]) => [
      "--add-scram",
      `${mechanism}=[name=${name},password=${password}]`,
    ])
  );
  const tool = ["-cp", `${lib}/*`, "kafka.tools.StorageTool", "format", "--cluster-id", newId(), "--config", settings];
  // Java reads its arguments in the encoding of the language.
  const env = { ...process.env, LC_ALL: "C.UTF-8" };
  await run("java", [...javaFlags, ...tool, ...scram], { env });
  await rm(settings);
}

/**
 * 16 random bytes in base64url. As in Kafka itself, none that begins with "-": the tool would take
 * it for an option.
 */
function newId(): string {
  const id = randomBytes(16).toString("base64url");
  return id.startsWith("-") ? newId() : id;
}
