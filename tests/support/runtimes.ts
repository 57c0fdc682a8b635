import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Why this machine has no Deno; null where it has. Always null under CI: nobody would notice
 * skipped tests there.
 */
export const denoMissing: string | null = process.env.CI === "true" || spawnSync("deno", ["--version"]).status === 0
  ? null
  : "no Deno here: install it, or run npm ci";

/** The runtimes that run a file of `tests/support/`, and the command of each. */
export const COMMANDS = [
  { runtime: "Node", missing: null, command: [process.execPath, "--experimental-strip-types"] },
  { runtime: "Deno", missing: denoMissing, command: ["deno", "run", "-q", "-A"] },
] as const;

/** Variables for a program, beside those of the tests. */
export type Environment = Readonly<Record<string, string>>;

/** A variable that makes a program of any runtime trust the certificates of a PEM file too. */
export const trusting = (file: string): Environment => ({ NODE_EXTRA_CA_CERTS: file, DENO_CERT: file });

/** Starts a file of `tests/support/` as a program of its own. */
export function startScript(
  command: readonly string[],
  file: string,
  args: readonly string[] = [],
  env: Environment = {},
): ChildProcess {
  const [program, ...flags] = command as readonly [string, ...string[]];
  return spawn(program, [...flags, `tests/support/${file}`, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/**
 * Runs a file of `tests/support/` to its end. Gives the JSON documents that it prints, one a line.
 */
export async function runScript<T>(
  command: readonly string[],
  file: string,
  input: unknown,
  env: Environment = {},
): Promise<T[]> {
  const child = startScript(command, file, [], env);
  if (child.stdin === null || child.stdout === null) throw new TypeError("The program was started without pipes");
  child.stdin.end(JSON.stringify(input));
  const [output] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return output.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}
