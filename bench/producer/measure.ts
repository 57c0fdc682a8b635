import { setTimeout as delay } from "node:timers/promises";
import type { Checked, Checker, Load } from "./checker.ts";
import type { LoadedSite, Seen } from "./site.ts";
import { cpuSeconds } from "./usage.ts";

/** What came of one run under load. */
export interface Sample {
  readonly pages: number;
  readonly checksPerSecond: number;
  /** CPU time of the checker's process, in microseconds. */
  readonly cpuPerCheck: number;
  /** How much of a core the checker had; under 1 at the top rate: other programs on this machine took the rest. */
  readonly cpuShare: number;
  /** Milliseconds; empty where it cannot be told. */
  readonly lateness: readonly number[];
  /** Milliseconds by which each check measured more than the site waited. */
  readonly errors: readonly number[];
  /** Checks that did not find the page up, though it was. */
  readonly failed: number;
}

/**
 * Seconds under load before anything counts: by then the hot code is compiled. At 2,500 checks a
 * second Node compiles it anew 4 s after the start, and reads answers up to 80 ms late for half a
 * second.
 */
const WARM_UP = 6;

/** Puts a checker under load, and looks at what it does in `seconds` of it. */
export async function measure(checker: Checker, site: LoadedSite, load: Load, seconds: number): Promise<Sample> {
  await site.seen();
  await using run = await checker.start(site, load);
  await delay(WARM_UP * 1000);
  const [from, cpuFrom] = [Date.now(), cpuSeconds(run.pid)];
  await delay(seconds * 1000);
  const [to, cpuTo] = [Date.now(), cpuSeconds(run.pid)];
  const checks = withErrors(run.checks(), await site.seen()).filter(({ startedAt, latency }) => {
    return startedAt + latency > from && startedAt + latency <= to;
  });
  if (checks.length === 0) throw new Error(`${checker.name} made no check in ${seconds} s`);
  const [cpu, elapsed] = [cpuTo - cpuFrom, (to - from) / 1000];
  return {
    pages: load.pages,
    checksPerSecond: checks.length / elapsed,
    cpuPerCheck: cpu * 1e6 / checks.length,
    cpuShare: cpu / elapsed,
    lateness: checks.flatMap(({ lateness }) => lateness ?? []),
    errors: checks.flatMap(({ error }) => error ?? []),
    failed: checks.filter(({ isUp }) => !isUp).length,
  };
}

/**
 * The load is raised so many times at most: on a machine that never keeps up or always does, this
 * ends all the same.
 */
const MOST_TRIES = 6;

/**
 * Puts a checker under more load than it can take; `few` pages are what it surely can. Beyond the
 * top rate a host's due times pass by unused, which costs something too, so the load is only raised
 * until the checker falls behind.
 */
export async function measureTop(checker: Checker, site: LoadedSite, few: Load, seconds: number): Promise<Sample> {
  // What a check costs under little load is more than under much: the true top rate is above this guess.
  const idle = await measure(checker, site, few, Math.min(seconds, 2));
  let pages = Math.ceil(1.2e6 / idle.cpuPerCheck);
  for (let tries = 1;; tries++) {
    const sample = await measure(checker, site, { ...few, pages }, seconds);
    if (sample.checksPerSecond < 0.93 * pages || tries === MOST_TRIES) return sample;
    pages = Math.ceil(pages * 1.4);
  }
}

/** Joins the checks with what the site noted: the nth check of a page is its nth request. */
function withErrors(checks: readonly Checked[], { waits }: Seen): (Checked & { readonly error: number | null })[] {
  const seen = new Map<string, number>();
  return checks.map((check) => {
    const nth = seen.get(check.path) ?? 0;
    seen.set(check.path, nth + 1);
    const wait = waits[check.path]?.[nth];
    return { ...check, error: wait === undefined ? null : check.latency - wait };
  });
}
