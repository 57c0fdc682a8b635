import { setTimeout as delay } from "node:timers/promises";
import { Heap } from "./due/heap.ts";
import type { Host } from "./hosts.ts";
import { nextDue } from "./schedule.ts";

/** A host whose time has come. */
export interface Due {
  readonly host: Host;
  readonly scheduledAt: Date;
  /** Called when its check has ended; only then is the host's next due time set, so that no host is checked twice at a time. */
  release(): void;
}

/** Hosts that wait longer than this for their first due time, in milliseconds, are also checked soon after the start. */
const PATIENCE = 30_000;
/** Milliseconds from one such early check to the next: 50 a second, so that a program that restarts over and over hammers nobody. */
const EARLY_STEP = 20;
/** Longest wait in one piece, in milliseconds: setTimeout fires at once beyond 2^31 - 1, and a clock that is set is noticed. */
const LONGEST_WAIT = 60_000;

/** A host and when it is due next, in milliseconds since 1970. */
interface Entry {
  readonly host: Host;
  at: number;
}

/**
 * Gives each host at its due times, in their order, until `signal` aborts. Due times of a host that pass while its check
 * still runs are left out. A host with an interval above 30 seconds (not cron) is also due once soon after the start.
 */
export async function* dueHosts(hosts: readonly Host[], signal: AbortSignal): AsyncGenerator<Due, void> {
  const waiting = new Heap<Entry>((entry) => entry.at);
  let wake = new AbortController();
  const add = (entry: Entry) => {
    waiting.add(entry);
    if (waiting.peek() === entry) wake.abort(); // The wait under way is for a later one.
  };
  const stop = () => wake.abort();
  signal.addEventListener("abort", stop);
  for (const entry of firstDue(hosts, Date.now())) waiting.add(entry);

  try {
    while (!signal.aborted) {
      const next = waiting.peek();
      const wait = next === undefined ? LONGEST_WAIT : next.at - Date.now();
      if (next === undefined || wait > 0) {
        wake = new AbortController();
        await delay(Math.min(wait, LONGEST_WAIT), undefined, { signal: wake.signal }).catch(() => {});
        continue;
      }
      waiting.take();
      const { host, at } = next;
      const release = () => add({ host, at: nextDue(host.frequency, host.address, Math.max(at, Date.now())) });
      yield { host, scheduledAt: new Date(at), release };
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** When each host is due first after `start` (milliseconds since 1970). */
export function firstDue(hosts: readonly Host[], start: number): Entry[] {
  let early = start;
  return hosts.map((host) => {
    const at = nextDue(host.frequency, host.address, start);
    const isPatient = at - start <= PATIENCE || host.frequency.kind === "cron";
    if (isPatient || early >= at) return { host, at };
    const entry = { host, at: early };
    early += EARLY_STEP;
    return entry;
  });
}

/** When the first of the hosts is due after `start` (milliseconds since 1970); null where there is none. */
export function firstDueTime(hosts: readonly Host[], start: number): number | null {
  return hosts.length === 0 ? null : firstDue(hosts, start).reduce((first, { at }) => Math.min(first, at), Infinity);
}

/** Every host once, now. */
export async function* everyHostOnce(hosts: readonly Host[], signal: AbortSignal): AsyncGenerator<Due, void> {
  for (const host of hosts) {
    if (signal.aborted) return;
    yield { host, scheduledAt: new Date(), release: () => {} };
  }
}
