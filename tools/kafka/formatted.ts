import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
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

export interface FormatOptions {
  /** The folder with the broker's jars. */
  readonly lib: string;
  readonly javaFlags: readonly string[];
  /** Who may log in with SCRAM, and the passwords. */
  readonly users: Readonly<Record<string, string>>;
}

/**
 * Makes the data folder of a new cluster, as `StorageTool format` does. That tool is a Java
 * program, which takes 1.3 s of a core. So it runs once for the same users, and each cluster gets a
 * copy with ids of its own.
 */
export async function format(data: string, options: FormatOptions): Promise<void> {
  const users = JSON.stringify(options.users);
  const hash = createHash("sha256").update(users).digest("hex").slice(0, 12);
  const made = await madeOnce(`${basename(options.lib)}-formatted-${hash}`, (folder) => runTool(folder, options));
  await mkdir(data, { recursive: true });
  await copyFile(join(made, RECORDS), join(data, RECORDS));
  const properties = {
    "version": 1,
    "node.id": NODE_ID,
    "cluster.id": newId(),
    "directory.id": newId(),
  };
  // Last of all: a folder with this file is formatted.
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(join(data, "meta.properties"), lines.join(""));
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
