import { readdirSync, readFileSync } from "node:fs";

/** Ticks a second of the times in /proc: 100 on every Linux that Node runs on. */
const TICKS = 100;

/** What a process and all it started have used so far. */
export interface Usage {
  /** Seconds of CPU, of children that have ended too. */
  readonly cpu: number;
  /** MB; the sum of each process's own peak. */
  readonly peakRss: number;
  /** MB now. */
  readonly rss: number;
}

/** Reads /proc; so it is Linux only. A process that has just ended counts with what its parent has heard of it. */
export function usageOf(pid: number): Usage {
  const processes = family(pid).map(({ pid, ticks }) => ({ ticks, ...memory(pid) }));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    cpu: sum(processes.map(({ ticks }) => ticks)) / TICKS,
    peakRss: sum(processes.map(({ peak }) => peak)),
    rss: sum(processes.map(({ now }) => now)),
  };
}

/**
 * MB that a process and all it started hold now, where each page that others share counts in part.
 * To count them holds up the process for some milliseconds.
 */
export function pssOf(pid: number): number {
  return family(pid).reduce((sum, { pid }) => sum + megabytes(read(pid, "smaps_rollup") ?? "", "Pss"), 0);
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** Of its own, and of children that it has waited for. */
  readonly ticks: number;
}

function family(root: number): Stat[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => readStat(Number(name)))
    .filter((stat) => stat !== null);
  const members = all.filter(({ pid }) => pid === root);
  for (let at = 0; at < members.length; at++) members.push(...all.filter(({ parent }) => parent === members[at]?.pid));
  return members;
}

function readStat(pid: number): Stat | null {
  const text = read(pid, "stat");
  if (text === null) return null;
  // The name, in parentheses, may hold anything; behind it stand state, parent, … (proc(5): fields
  // 14 to 17 are the times).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ").map(Number);
  return { pid, parent: fields[1] ?? 0, ticks: fields.slice(11, 15).reduce((total, ticks) => total + ticks, 0) };
}

function memory(pid: number): { peak: number; now: number } {
  const text = read(pid, "status") ?? "";
  return { peak: megabytes(text, "VmHWM"), now: megabytes(text, "VmRSS") };
}

/** A line of such a file that counts kilobytes. */
function megabytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(text)?.[1] ?? 0) / 1024;
}

function read(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return null; // It has ended meanwhile.
  }
}
