import { areSameOptions, type HostOptions } from "./host_options.ts";
import type { Pattern } from "./pattern.ts";
import type { Frequency } from "./schedule.ts";

/**
 * A host to check, and how: the content of one line of a hosts file, and of its options.
 */
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
  /** What the body must not hold; null: it may hold anything. */
  readonly absent: Pattern | null;
  /** Null: the host has none. */
  readonly options: HostOptions | null;
}

/** True where both mean the same check. Neither blanks nor the place in the file count. */
export function isSameHost(one: Host, other: Host): boolean {
  return one.address === other.address && one.authorization === other.authorization &&
    one.frequency.text === other.frequency.text && one.pattern?.source === other.pattern?.source &&
    one.absent?.source === other.absent?.source && areSameOptions(one.options, other.options);
}
