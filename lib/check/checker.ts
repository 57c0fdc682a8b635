import type { Metric } from "../metric.ts";
import type { CheckedHost } from "./check.ts";

/** Makes checks, here or in threads. */
export interface Checker {
  /** True where a check may begin now. */
  readonly hasRoom: boolean;
  /** Calls `work` once, as soon as there is room. */
  whenRoom(work: () => void): void;
  /**
   * As `check`; `scheduledAt` is in milliseconds since 1970. To be called where there is room.
   */
  check(host: CheckedHost, scheduledAt: number, signal: AbortSignal, wantsEvidence?: boolean): Promise<Metric>;
}

/**
 * So many checks begin before the sockets of those under way are served again. A processor that is
 * too slow for its hosts thus makes checks late, and at last missed, but their latencies stay those
 * of the hosts. Where all began that were due, those under way waited for each other, 0.6 s at the
 * top rate, and some for more than 10 s under Deno, which then called sites down that were up.
 * Fewer at once make no latency much better, and cost a part of the top rate. Deno sleeps for a
 * millisecond or two behind them: there 8 cost a fifth of it, 16 cost nothing.
 */
export const AT_ONCE = "Deno" in globalThis ? 16 : 8;
