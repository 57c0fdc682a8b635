import type { Metric } from "../metric.ts";
import { reasonDown, stateOf } from "../postgres/host_state.ts";

/** A host that went down, or came back. */
export interface StateChange {
  readonly address: string;
  readonly state: "up" | "down";
  /** Why it is down, or was at first. */
  readonly reason: string;
  /** One line for a person. */
  readonly message: string;
}

/** Remembers which hosts are down, and since when. */
export class Outages {
  /** Address → when it was first found down, in milliseconds since 1970, and why. */
  readonly #since = new Map<string, { readonly at: number; readonly reason: string }>();

  /** How many hosts are down. */
  get count(): number {
    return this.#since.size;
  }

  /**
   * The change that this metric brings; null if there is none. A host that is up from the beginning
   * is no news.
   */
  see(metric: Metric): StateChange | null {
    const { address, checked_at } = metric;
    const state = stateOf(metric);
    const since = this.#since.get(address);
    const at = Date.parse(checked_at ?? "");
    if (state === "down" && since === undefined) {
      const reason = reasonDown(metric);
      this.#since.set(address, { at, reason });
      return { address, state, reason, message: `${address} is down: ${reason}` };
    }
    if (state !== "up" || since === undefined) return null;
    this.#since.delete(address);
    const { reason } = since;
    return { address, state, reason, message: `${address} is up again, after ${duration(at - since.at)}` };
  }

  /** Forgets hosts that are no longer checked. */
  forget(addresses: Iterable<string>): void {
    for (const address of addresses) this.#since.delete(address);
  }
}

const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]] as const;

/** Milliseconds in the two largest units that matter: `3 min 20 s`, `2 d 5 h`. */
export function duration(milliseconds: number): string {
  let seconds = Math.max(0, Math.round(milliseconds / 1000));
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0 || parts.length > 0) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).filter((part) => !part.startsWith("0 ")).join(" ") || "0 s";
}
