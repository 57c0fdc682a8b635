import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import type { Metric } from "../../lib/metric.ts";
import { stopped } from "../producer/cores.ts";
import { cpuSeconds, memory } from "../producer/usage.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Milliseconds from one look at a program to the next. */
const LOOK = 20;
/** Checks that come before a reload and behind it. */
const CHECKS = 100;

/** The cost of `producer --check`. */
export interface CheckCost {
  /** Seconds from the start of the process to its end. */
  readonly wall: number;
  /** Seconds of CPU time of the process. */
  readonly cpu: number;
  /** The most memory that it held, in MB of 10^6 bytes. */
  readonly peak: number;
}

/** The cost of taking over a changed file. `wall` begins with SIGHUP. */
export interface ReloadCost extends CheckCost {
  /** Milliseconds by which a check began too late at most, before the reload and during it. */
  readonly lateBefore: number;
  readonly lateMeanwhile: number;
}

/** Runs `producer --check` to its end. `runtime` is the command before the script. */
export async function measureCheck(runtime: readonly string[], file: string): Promise<CheckCost> {
  const began = performance.now();
  const child = startProducer(runtime, ["--check", file]);
  child.stdout?.resume();
  const ended = once(child, "exit");
  let [cpu, peak, wall] = [0, 0, 0];
  void ended.then(() => wall = performance.now() - began);
  while (wall === 0) {
    try {
      [cpu, peak] = [cpuSeconds(child.pid as number), memory(child.pid as number).peak || peak];
    } catch {
      // It has ended since.
    }
    await delay(LOOK);
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`${runtime[0]} … --check ended with ${code}`);
  return { wall: wall / 1000, cpu, peak };
}

/** Starts a producer, and has it read its file again once `change` was called. */
export async function measureReload(
  runtime: readonly string[],
  file: string,
  change: () => Promise<void>,
): Promise<ReloadCost> {
  const child = startProducer(runtime, ["--stdout", file]);
  try {
    const pid = child.pid as number;
    const [metrics, isReadAgain] = [metricsOf(child), saying(child, "read again")];
    await until(() => metrics.length >= CHECKS);
    const [from, cpuFrom] = [Date.now(), cpuSeconds(pid)];
    await change();
    child.kill("SIGHUP");
    await until(isReadAgain);
    const [to, cpu] = [Date.now(), cpuSeconds(pid) - cpuFrom];
    const all = metrics.length + CHECKS;
    await until(() => metrics.length >= all);
    const lateIn = (begin: number, end: number) =>
      Math.max(...metrics.filter(({ due }) => due >= begin && due < end).map(({ late }) => late));
    return {
      wall: (to - from) / 1000,
      cpu,
      peak: memory(pid).peak,
      lateBefore: lateIn(from - 1000, from),
      lateMeanwhile: lateIn(from, to),
    };
  } finally {
    await stopped(child);
  }
}

function startProducer([program = "", ...flags]: readonly string[], args: readonly string[]): ChildProcess {
  return spawn(program, [...flags, "producer.ts", ...args], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
}

/** When the checks were due, in milliseconds since 1970, and how late they began; it grows. */
function metricsOf({ stdout }: ChildProcess): readonly { readonly due: number; readonly late: number }[] {
  const found: { due: number; late: number }[] = [];
  let rest = "";
  stdout?.setEncoding("utf8").on("data", (part: string) => {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const { scheduled_at, checked_at } = JSON.parse(line) as Metric;
      const due = Date.parse(scheduled_at ?? "");
      found.push({ due, late: Date.parse(checked_at ?? "") - due });
    }
  });
  return found;
}

/** True as soon as the program has said it. */
function saying({ stderr }: ChildProcess, words: string): () => boolean {
  let said = "";
  stderr?.setEncoding("utf8").on("data", (part: string) => said += part);
  return () => said.includes(words);
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(LOOK);
}
