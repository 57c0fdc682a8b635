import type { Start } from "../config/setting_types.ts";
import type { AssignedPartition, Assignment, LogPosition, LogPositions, Positions } from "./kafka.ts";

/**
 * Finds the first offset at a time or later in each of some partitions; below 0 if there is none.
 */
export type FindOffsets = (partitions: readonly number[], time: number) => Promise<Positions>;

/** Times that mean the first offset and the end of a log: Kafka's protocol. */
const EARLIEST = -2;
export const LATEST = -1;

/**
 * The offsets that `--kafka-start` names in these partitions: their end, or the first message from
 * a time on. They become the first marks of a new topic.
 */
export async function kafkaStartOffsets(
  start: Exclude<Start, "earliest">,
  partitions: readonly number[],
  find: FindOffsets,
): Promise<Positions> {
  // The ends first: a message written between the two questions is found by its time, or is behind
  // the end.
  const ends = await find(partitions, LATEST);
  if (start === "latest") return new Map(partitions.map((partition) => [partition, offsetOf(partition, ends)]));
  const times = await find(partitions, start.time);
  const starts = new Map(partitions.map((partition) => {
    const offset = offsetOf(partition, times);
    return [partition, offset < 0 ? offsetOf(partition, ends) : offset];
  }));
  // A start beyond the end would lose messages: a broker may speak of an earlier topic of this
  // name.
  const later = await find(partitions, LATEST);
  for (const [partition, offset] of starts) if (offset > offsetOf(partition, later)) throw unknownLog(partition);
  return starts;
}

/** Where the logs of these partitions begin and end. */
export async function bounds(partitions: readonly number[], find: FindOffsets): Promise<AssignedPartition[]> {
  const [starts, ends] = await Promise.all([find(partitions, EARLIEST), find(partitions, LATEST)]);
  return partitions.map((partition) => {
    const [logStart, logEnd] = [offsetOf(partition, starts), offsetOf(partition, ends)];
    // One of two brokers speaks of an earlier topic of this name.
    if (logStart > logEnd) throw unknownLog(partition);
    return { partition, logStart, logEnd };
  });
}

/**
 * One position for each assigned partition, no more and no less: a partition read from elsewhere
 * would be lost or read by two.
 */
export function exactly({ partitions }: Assignment, positions: LogPositions): Map<number, LogPosition> {
  return new Map(partitions.map(({ partition }) => {
    const position = positions.get(partition);
    if (position === undefined) throw new TypeError(`No position was given for the assigned partition ${partition}`);
    return [partition, position];
  }));
}

function offsetOf(partition: number, offsets: Positions): number {
  const offset = offsets.get(partition);
  if (offset === undefined) throw unknownLog(partition);
  return offset;
}

/** No guess stands for the bounds of a log: the consumer moves marks that are beyond them. */
function unknownLog(partition: number): Error {
  return new Error(`The brokers did not say where the log of partition ${partition} begins and ends`);
}
