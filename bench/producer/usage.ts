import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Clock ticks in a second, in which Linux counts CPU time. */
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** Seconds of CPU time that a process and its threads have used, user and system together (proc(5), `stat`). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in front may hold blanks; behind it, utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/**
 * The memory that a process holds now, and the most that it has held so far, in MB of 10^6 bytes
 * (proc(5), `status`).
 */
export function memory(pid: number): { settled: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(status)?.[1]) * 1024 / 1e6;
  return { settled: read("VmRSS"), peak: read("VmHWM") };
}
