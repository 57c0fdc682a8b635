import { unlessAborted } from "../async/waits.ts";
import type { DescribedAssignment } from "./assignment.ts";
import type { TopicLog } from "./javascript/topic_log.ts";
import type { Assignment, Position, Positions } from "./kafka.ts";

/** An assignment as `position` was asked for it, with the answer. */
export interface StartPositions {
  readonly assignment: Assignment;
  readonly positions: Positions;
}

/**
 * Asks `position` where to read each partition from; once more where the log was cut below that.
 * Throws what `position` throws. Gives the failure instead where Kafka fails meanwhile, or `signal`
 * aborts.
 */
export async function startPositions(
  { assignment: described, member }: DescribedAssignment,
  position: Position,
  log: Pick<TopicLog, "cuts">,
  signal: AbortSignal,
): Promise<StartPositions | { readonly failure: unknown }> {
  let failed: { readonly failure: unknown } | undefined;
  const { firstStarts, ...rest } = described;
  const ask = async (question: () => Promise<Positions>) => {
    try {
      return await unlessAborted(question(), signal);
    } catch (failure) {
      failed = { failure };
      throw failure;
    }
  };
  const assignment = firstStarts === undefined ? rest : { ...rest, firstStarts: () => ask(firstStarts) };
  try {
    const positions = await position(assignment);
    // A question that has no answer now shows in the reading, or before the next one.
    const cuts = await unlessAborted(log.cuts(member.fetching, assignment.topicId, positions), signal).catch(() =>
      null
    );
    if (cuts === null || cuts.size === 0) return { assignment, positions };
    const partitions = assignment.partitions.map((one) => {
      const cutAt = cuts.get(one.partition);
      return cutAt === undefined ? one : { ...one, cutAt };
    });
    return { assignment, positions: await position({ ...assignment, partitions }) };
  } catch (error) {
    if (failed === undefined || failed.failure !== error) throw error;
    return failed;
  }
}
