import { setTimeout as delay } from "node:timers/promises";
import { type GroupMember, OutdatedAssignment, UnknownPartitionError } from "./consumer_member.ts";
import type { Assignment, ConsumerOptions, Positions } from "./kafka.ts";
import { bounds, type FindOffsets, kafkaStartOffsets } from "./offsets.ts";
import type { TopicDescription } from "./topic.ts";

/** Milliseconds between two looks whether a partition that had no leader has one. */
const LEADER_EVERY = 2_000;

/** An assignment, and what else is known of its partitions. */
export interface DescribedAssignment {
  readonly assignment: Assignment;
  /** The member that holds it. */
  readonly member: GroupMember;
  /** Aborts when the group takes the partitions away. */
  readonly changed: AbortSignal;
  /**
   * Partitions that the group assigned and that have no leader for the moment: the assignment
   * leaves them out.
   */
  readonly leaderless: readonly number[];
  /** How many partitions the whole topic has. */
  readonly partitions: number;
}

/**
 * Waits for the partitions that the group gives to a member, and looks at them. Null where the
 * group or the topic changed meanwhile: the caller asks again, and joins again if the membership
 * has failed.
 */
export async function describeAssignment(
  member: GroupMember,
  options: ConsumerOptions,
  signal: AbortSignal,
): Promise<DescribedAssignment | null> {
  const { membership } = member;
  const { partitions, changed } = await member.held(signal);
  const now = await member.identifyTopic();
  if (changed.aborted) return null;
  if (membership.isOutdated(partitions, now)) {
    // The member must leave, and a new one join. If a member leaves, the group assigns its
    // partitions anew. If a member only joins again, the group does so only for its leader. Also,
    // the new client knows nothing of a topic that is gone, and does not ask for it.
    membership.fail(hasChanged(options.topic));
    return null;
  }
  membership.note(now);
  const leaderless = partitions.filter((partition) => now.leaderless.includes(partition));
  const led = partitions.filter((partition) => !leaderless.includes(partition));
  const assigned = await bounds(led, offsetsOf(member)).catch((error) => {
    if (error instanceof UnknownPartitionError) membership.fail(error);
    throw error;
  });
  // The bounds were asked for by the topic's name. They are of this topic only if it is still the
  // same one.
  const isSame = (await member.identifyTopic()).id === now.id;
  if (changed.aborted || !isSame) return null;
  const firstStarts = firstStartsOf(member, options, now);
  const assignment = { topic: options.topic, topicId: now.id, partitions: assigned, ...firstStarts };
  return { assignment, member, changed, leaderless, partitions: now.partitions };
}

/** The offsets of a member's partitions, by time. */
export function offsetsOf(member: GroupMember): FindOffsets {
  return async (partitions, time) => partitions.length === 0 ? new Map() : await member.findOffsets(partitions, time);
}

/**
 * Where all partitions of the topic begin that have a leader, if that is not their first message.
 */
function firstStartsOf(
  member: GroupMember,
  { start, topic }: ConsumerOptions,
  now: TopicDescription,
): Pick<Assignment, "firstStarts"> {
  if (start === "earliest") return {};
  const all = Array.from({ length: now.partitions }, (_, n) => n).filter((n) => !now.leaderless.includes(n));
  const firstStarts = async (): Promise<Positions> => {
    const starts = await kafkaStartOffsets(start, all, offsetsOf(member));
    if ((await member.identifyTopic()).id !== now.id) throw hasChanged(topic);
    return starts;
  };
  return { firstStarts };
}

function hasChanged(topic: string): OutdatedAssignment {
  return new OutdatedAssignment(`The topic ${topic} has changed`);
}

/** Ends a reading as soon as one of the partitions that it left out can be read. */
export async function awaitLeader(
  { member, leaderless }: DescribedAssignment,
  left: AbortController,
  stop: AbortSignal,
): Promise<void> {
  const hasLeader = async () => {
    const now = await member.identifyTopic();
    return leaderless.some((partition) => !now.leaderless.includes(partition));
  };
  while (!stop.aborted) {
    await delay(LEADER_EVERY, undefined, { signal: stop }).catch(() => {});
    if (!stop.aborted && await hasLeader().catch(() => false)) left.abort();
  }
}
