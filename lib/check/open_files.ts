import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { isResourceExhausted } from "../net/exhausted_resource.ts";

/**
 * Files that are kept for everything but checks: the connections to Kafka, the spool, threads, the
 * HTTP port.
 */
const RESERVE = 64;
/** Files that each further thread for checks holds open: up to six were counted. */
const FILES_OF_A_THREAD = 8;
/** The part of the files that checks get where there are few. */
const LEAST_PART = 0.25;

/** How many checks may be under way at the same time, and a warning; null: as many as wanted. */
export interface Fitting {
  readonly concurrency: number;
  readonly warning: string | null;
}

/**
 * How many of `wanted` checks fit, in so many threads. Each check has a connection, which is an open file. `openable`
 * is how many more files may be opened. Beyond that, checks would fail for a reason that is not
 * their hosts'.
 */
export function fitConcurrency(wanted: number, openable: number, threads = 1): Fitting {
  const room = Math.max(1, openable - reserveFor(threads), Math.floor(openable * LEAST_PART));
  if (room >= wanted) return { concurrency: wanted, warning: null };
  return {
    concurrency: room,
    warning:
      `this program may open ${openable} more files, and each check under way is one: ${room} at the same time ` +
      `instead of ${wanted}; raise the limit to ${
        wanted + RESERVE + reserveFor(threads)
      } (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= ` +
      `of a container), or lower --concurrency (CHECK_CONCURRENCY)`,
  };
}

function reserveFor(threads: number): number {
  return RESERVE + (threads - 1) * FILES_OF_A_THREAD;
}

/**
 * How many more files this program may open. The count stops at the need of `wanted` checks. Where
 * the system does not tell, it opens files to find out. Both runtimes raise the soft limit to the
 * hard one.
 */
export function openableFor(wanted: number, threads = 1): number {
  const most = wanted + reserveFor(threads);
  return Math.min(most, openableOnLinux() ?? openableByTrying(most));
}

/**
 * Linux tells it within 1 ms; null where it does not. Not under Deno, which refuses the reading
 * without all permissions, or asks the person at the terminal.
 */
function openableOnLinux(): number | null {
  if ("Deno" in globalThis || process.platform !== "linux") return null;
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    // One of the open files is the folder that is read here.
    return limit === undefined ? null : Number(limit) - readdirSync("/proc/self/fd").length + 1;
  } catch {
    return null;
  }
}

/**
 * The first time this takes some 50 ms for 2,000 files: a system makes room for files in small
 * steps.
 */
function openableByTrying(most: number): number {
  const files: number[] = [];
  try {
    while (files.length < most) files.push(openSync(new URL(import.meta.url), "r"));
    return files.length;
  } catch (error) {
    // A program that may not read files is not at their limit.
    return isResourceExhausted(error) ? files.length : Infinity;
  } finally {
    for (const file of files) closeSync(file);
  }
}
