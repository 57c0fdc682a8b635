import type { LogPosition, LogPositions } from "../../lib/kafka/kafka.ts";

/** Places with known offsets and unknown epochs. */
export function placesAt(offsets: Iterable<readonly [partition: number, offset: number]>): Map<number, LogPosition> {
  return new Map(Array.from(offsets, ([partition, offset]) => [partition, { offset, epoch: null }]));
}

/** The offsets of places, whatever their epochs. */
export function offsetsOf(places: LogPositions): Map<number, number> {
  return new Map(Array.from(places, ([partition, { offset }]) => [partition, offset]));
}
