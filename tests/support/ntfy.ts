import { execFile, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../tools/free_ports.ts";
import { startReceiver } from "./receiver_program.ts";

const PROGRAM = "ntfy";

/**
 * Whether this machine has ntfy's server. No package that `.ci/run` can install holds it, so its
 * test runs only where somebody has put it on the PATH. Other programs have this name, too.
 */
export function canRunNtfy(): boolean {
  const { stdout } = spawnSync(PROGRAM, ["serve", "--help"], { encoding: "utf8" });
  const isThere = stdout?.includes("--listen-http") === true;
  if (!isThere) console.warn(`The test with ntfy is skipped: put its server, ${PROGRAM}, on the PATH`);
  return isThere;
}

/** A message as ntfy tells it. */
export interface NtfyMessage {
  readonly title: string;
  readonly message: string;
  readonly priority?: number;
  readonly tags: readonly string[];
  /** A message that was too long became a file. */
  readonly attachment?: object;
}

/** A running ntfy that wants a token. */
export interface Ntfy extends AsyncDisposable {
  readonly port: number;
  readonly token: string;
  /** What a topic has got, oldest first. */
  messages(topic: string): Promise<NtfyMessage[]>;
}

/** Starts ntfy in a folder. */
export async function startNtfy(folder: string): Promise<Ntfy> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const config = join(folder, "ntfy.yml");
  const settings = {
    "base-url": url,
    "listen-http": `127.0.0.1:${port}`,
    "cache-file": join(folder, "ntfy-cache.db"),
    "auth-file": join(folder, "ntfy-auth.db"),
    "auth-default-access": "deny-all",
    "attachment-cache-dir": join(folder, "ntfy-attachments"),
  };
  // JSON is YAML too.
  writeFileSync(config, JSON.stringify(settings));
  const server = await startReceiver(PROGRAM, ["serve", "--config", config], `${url}/v1/health`);
  const env = { ...process.env, NTFY_PASSWORD: "a password" };
  const ask = async (args: readonly string[]) => {
    const { stdout, stderr } = await promisify(execFile)(PROGRAM, [...args], { env });
    return stdout + stderr;
  };
  await ask(["user", "--config", config, "add", "--role=admin", "checker"]);
  const token = /tk_\w+/.exec(await ask(["token", "--config", config, "add", "checker"]))?.[0] ?? "";
  return {
    port,
    token,
    async messages(topic) {
      const answer = await fetch(`${url}/${topic}/json?poll=1`, { headers: { authorization: `Bearer ${token}` } });
      const lines = (await answer.text()).split("\n").filter((line) => line !== "");
      return lines.map((line) => JSON.parse(line) as NtfyMessage);
    },
    ...server,
  };
}
