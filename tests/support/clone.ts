import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The project as after a clone and `npm ci`: every file that git does not ignore, and the packages.
 */
export interface Clone extends Disposable {
  readonly folder: string;
  /** Starts a command there, as a shell at a terminal does, in a process group of its own. */
  start(command: string, env?: Readonly<Record<string, string>>): Command;
}

/** A command under way. */
export interface Command {
  readonly ended: Promise<{ readonly code: number | null; readonly said: string }>;
  /** Its output so far, on both streams. */
  readonly said: string;
  /** Does what Ctrl-C does: sends SIGINT to the whole process group. */
  interrupt(): void;
  kill(): void;
}

/** The variables of a person's shell, without any that could be a setting. */
const INHERITED = ["PATH", "HOME", "DENO_DIR", "NODE_EXTRA_CA_CERTS", "TMPDIR"];

export function cloneProject(): Clone {
  const folder = mkdtempSync(join(tmpdir(), "test-clone-"));
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  for (
    const file of execFileSync("git", list, { cwd: ROOT, encoding: "utf8" }).split("\0").filter((file) => file !== "")
  ) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file));
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return {
    folder,
    start: (command, env = {}) => start(folder, command, env),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function start(folder: string, command: string, env: Readonly<Record<string, string>>): Command {
  const inherited = Object.fromEntries(INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }));
  const child = spawn("bash", ["-c", command], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...inherited, ...env },
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => said += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => said += text);
  const ended = new Promise<{ code: number | null; said: string }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said }));
  });
  const signal = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch (error) {
      // No process of the group is left.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  return {
    ended,
    get said() {
      return said;
    },
    interrupt: () => signal("SIGINT"),
    kill: () => signal("SIGKILL"),
  };
}
