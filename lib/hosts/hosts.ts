import type { Pattern } from "./pattern.ts";
import { type Frequency, hashOf } from "./schedule.ts";

/** A host to check, and how: the content of one line of a hosts file. */
export interface Host {
  /** The number of its line, from 1. */
  readonly line: number;
  /** As written, without `user:password@`. Metrics name the host by it. */
  readonly address: string;
  /**
   * What is asked for: without user, password and fragment. Made anew at each reading: 100,000 URLs
   * would hold 45 MB.
   */
  readonly url: URL;
  /** The value of the Authorization header, where the line names a user. */
  readonly authorization: string | null;
  readonly frequency: Frequency;
  /** What the body must hold; null: any body is valid. */
  readonly pattern: Pattern | null;
}

/** Part I of N of the hosts; `index` counts from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/**
 * The hosts of a shard. Each address belongs to one shard, whatever else the file holds. Shards are
 * about equal.
 */
export function shardOf(hosts: readonly Host[], { index, count }: Shard): readonly Host[] {
  // Salted: the bare hash also sets the phase of an interval. With it, a shard's hosts would be due
  // at the same time.
  return count === 1 ? hosts : hosts.filter(({ address }) => hashOf(`shard ${address}`) % count === index - 1);
}

/** True where both mean the same check. Neither blanks nor the place in the file count. */
export function isSameHost(one: Host, other: Host): boolean {
  return one.address === other.address && one.authorization === other.authorization &&
    one.frequency.text === other.frequency.text && one.pattern?.source === other.pattern?.source;
}
