import type { Cron } from "./cron.ts";

/**
 * How often a host is due: after each interval in milliseconds, or at the times of a cron
 * expression. `text` is the FREQUENCY as written.
 */
export type Frequency =
  | { readonly kind: "interval"; readonly text: string; readonly interval: number }
  | { readonly kind: "cron"; readonly text: string; readonly cron: Cron };

/**
 * The first due time after `after`; both are milliseconds since 1970. The due times of an interval
 * are a grid, the same after every restart. Each address shifts it by an amount of its own, so that
 * hosts of one interval are spread evenly.
 */
export function nextDue(frequency: Frequency, address: string, after: number): number {
  if (frequency.kind === "cron") return frequency.cron.next(after);
  const { interval } = frequency;
  const phase = hashOf(address) % interval;
  return (Math.floor((after - phase) / interval) + 1) * interval + phase;
}

/**
 * How many due times there are from `first`, which is one, up to and including `last`. Counted by
 * arithmetic, however many.
 */
export function countDue(frequency: Frequency, first: number, last: number): number {
  if (frequency.kind === "interval") return Math.floor((last - first) / frequency.interval) + 1;
  return 1 + frequency.cron.count(first, last);
}

/** The due time that comes `steps` due times after `first`, which is a due time. */
export function advanceDue(frequency: Frequency, first: number, steps: number): number {
  if (frequency.kind === "interval") return first + steps * frequency.interval;
  return frequency.cron.advance(first, steps);
}

/**
 * A number from 0 to 2^53 - 1 that looks random. The same text gives the same number in every run,
 * on every machine.
 */
export function hashOf(text: string): number {
  // Two FNV-1a hashes of 32 bits, each mixed at the end (murmur3's finalizer). FNV alone gives
  // similar texts similar numbers.
  let [high, low] = [0x811c9dc5, 0x2f0b4a27];
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    high = Math.imul(high ^ unit, 0x01000193);
    low = Math.imul(low ^ unit, 0x01000193);
  }
  return (mix(high) >>> 11) * 2 ** 32 + (mix(low) >>> 0);
}

function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
