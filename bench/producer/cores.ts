import { type ChildProcess, execFileSync, spawn, type SpawnOptions, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The cores that a process is pinned to, as taskset takes them; null: it runs wherever the system puts it. */
export type Core = string | null;

/** Who runs where. */
export interface Cores {
  /** Of the program that is measured, alone. */
  readonly checker: Core;
  /** Of all else: the site, the load generator, this benchmark. */
  readonly others: Core;
  /** Both of these. */
  readonly both: Core;
}

/**
 * The last core of this machine for the checker, another one for all else; neither where there is
 * one core only, or no taskset.
 */
export function chooseCores(): Cores {
  const list = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const [first = "0", last = "0"] = [/^\d+/.exec(list)?.[0], /\d+$/.exec(list)?.[0]];
  const isPossible = first !== last && spawnSync("taskset", ["--version"]).status === 0;
  return isPossible
    ? { checker: last, others: first, both: `${first},${last}` }
    : { checker: null, others: null, both: null };
}

/** Pins this process. */
export function moveTo(core: Core): void {
  if (core !== null) execFileSync("taskset", ["-a", "-c", "-p", core, String(process.pid)]);
}

/** Starts a program on a core. Its process id is the program's own: taskset gives its place to it. */
export function startOn(core: Core, command: readonly string[], options: SpawnOptions): ChildProcess {
  const pinned = [...(core === null ? [] : ["taskset", "-c", core]), ...command];
  const [program, ...args] = pinned as [string, ...string[]];
  return spawn(program, args, { cwd: ROOT, ...options });
}

/** Longest time under load, in seconds. */
export const MOST_SECONDS = 60;

/**
 * A command that the system ends when it has used more CPU than a run takes: also where this
 * process is dead, or gets no turn.
 */
export function limited(command: readonly string[]): readonly string[] {
  return ["prlimit", `--cpu=${2 * MOST_SECONDS}`, ...command];
}

/** Ends a program at once; resolves when it is gone. */
export async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}
