import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * How a person starts a program of this project with what started this one: npm brings a Node that
 * may not be on the PATH.
 */
export function commandLine(program: "producer" | "consumer", rest: string): string {
  return isDeno() ? `deno run -P=${program} ${program}.ts ${rest}` : `npm run -s ${program} -- ${rest}`;
}

/** Starts a program of this project under the runtime that runs this file; its log goes where ours goes. */
export function start(program: "producer" | "consumer", ...args: string[]): ChildProcess {
  const before = isDeno() ? ["run", "-q", ...runtimeArguments(program)] : runtimeArguments(program);
  return spawn(process.execPath, [...before, `${program}.ts`, ...args], {
    cwd: ROOT,
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/** Waits for the end of a program; one that failed is an error. */
export async function ended(child: ChildProcess, name: string): Promise<void> {
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`${name} ended with exit code ${code}`);
}

function runtimeArguments(program: string): string[] {
  return isDeno() ? [`-P=${program}`] : ["--experimental-strip-types"];
}

function isDeno(): boolean {
  return "deno" in process.versions;
}
