import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** Milliseconds that a process may take to end after SIGTERM. */
const END_LIMIT = 10_000;

/** A process that writes its log to a file, and ends with its owner. */
export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** The process itself, for whoever has messages for it. */
  readonly process: ChildProcess;
  /** Resolves when it has ended well; rejects with the end of its log where it has not, unless disposed of. */
  readonly ended: Promise<void>;
}

/** `options`: with `ipc` it is a Node program that sends and takes messages. */
export function startChild(
  command: readonly string[],
  log: string,
  { ipc = false, ...options }: SpawnOptions & { readonly ipc?: boolean } = {},
): Child {
  const [program, ...args] = command as readonly [string, ...string[]];
  const file = openSync(log, "a");
  const child = spawn(program, args, { ...options, stdio: ["ignore", file, file, ...ipc ? ["ipc" as const] : []] });
  closeSync(file);
  if (child.pid === undefined) throw new Error(`Cannot start ${program}`);
  let disposed = false;
  const exit = exitOf(child);
  const ended = exit.then(async (code) => {
    if (code === 0 || disposed) return;
    throw new Error(`${program} ended with ${code}:\n${(await readFile(log, "utf8")).slice(-3000)}`);
  });
  ended.catch(() => {}); // Heard by whoever waits for it.
  return {
    pid: child.pid,
    process: child,
    ended,
    async [Symbol.asyncDispose]() {
      disposed = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), END_LIMIT);
      await exit;
      clearTimeout(late);
    },
  };
}

async function exitOf(child: ChildProcess): Promise<number | string | null> {
  const [code, signal] = await once(child, "exit");
  return code ?? signal;
}
