import type { Arena } from "./arena.ts";
import type { Figures } from "./contest.ts";
import { pssOf, type Usage, usageOf } from "./usage.ts";

/** Milliseconds between two looks: a process that ends takes its figures along. */
const LOOK_EVERY = 20;
/** Looks from one count of the memory to the next: it takes a while. */
const LOOKS_A_COUNT = 25;

/** Runs from when it is started; `stop` gives what was used since. */
export interface Clock {
  stop(): Omit<Figures, "steady">;
}

/** Counts what these processes use, and what PostgreSQL does for them. */
export function startClock({ serverPid }: Pick<Arena, "serverPid">, ...pids: readonly number[]): Clock {
  const look = () => pids.map(usageOf);
  const before = look();
  const serverBefore = usageOf(serverPid).cpu;
  const began = performance.now();
  let last = before;
  let [looks, peakPss] = [0, 0];
  const timer = setInterval(() => {
    last = look().map((usage, i) => later(last[i], usage));
    if (looks++ % LOOKS_A_COUNT === 0) peakPss = Math.max(peakPss, pids.reduce((sum, pid) => sum + pssOf(pid), 0));
  }, LOOK_EVERY);
  // Nobody stops the clock of a contestant that failed: it must not keep the bench from ending.
  timer.unref();
  return {
    stop() {
      const seconds = (performance.now() - began) / 1000;
      clearInterval(timer);
      last = look().map((usage, i) => later(last[i], usage));
      return {
        seconds,
        cpu: total(last, ({ cpu }) => cpu) - total(before, ({ cpu }) => cpu),
        serverCpu: usageOf(serverPid).cpu - serverBefore,
        peakRss: total(last, ({ peakRss }) => peakRss),
        peakPss,
      };
    },
  };
}

/** Of a process that has ended there is nothing to read, and first of all not its memory. */
function later(before: Usage | undefined, now: Usage): Usage {
  if (before === undefined) return now;
  return { ...now.cpu < before.cpu ? before : now, peakRss: Math.max(before.peakRss, now.peakRss) };
}

function total(usages: readonly Usage[], value: (usage: Usage) => number): number {
  return usages.reduce((sum, usage) => sum + value(usage), 0);
}
