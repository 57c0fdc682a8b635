import { unlessAborted } from "../async/waits.ts";
import type { ConsumerSession } from "../kafka/kafka.ts";

/**
 * A stretch of a partition of which no message came: the offsets from `from` to `to`, `to`
 * excluded.
 */
export interface OffsetGap {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  /**
   * From here to `to` the client knows from the log itself that there is no message. Absent: it
   * knows nothing.
   */
  readonly since?: number;
}

/**
 * Decides which holes between offsets are believed. Compaction and transactions leave holes, but so
 * does a client that loses its place. So each hole is confirmed by itself. The client confirms it
 * if it sees in the log that nothing is there. If not, the brokers are asked again. If they cannot
 * be asked, the partition is read again from its mark, and must show the very same hole.
 */
export class OffsetGaps {
  /** The last hole of each partition that nobody could be asked about: its begin and its end. */
  readonly #seen = new Map<string, string>();

  /** True if the hole is lawful. False also if `stop` aborts first. */
  async isLawful(session: ConsumerSession, gap: OffsetGap, stop: AbortSignal): Promise<boolean> {
    const { partition, from, to, since = to } = gap;
    // The client knows nothing of the offsets before `since`: its word counts only for a whole
    // hole.
    if (since <= from) return true;
    const asked = await ask(session, gap, stop);
    return asked ?? this.#isSeenAgain(`${session.assignment.topicId}/${partition}`, `${from} ${to}`);
  }

  #isSeenAgain(place: string, hole: string): boolean {
    if (this.#seen.get(place) !== hole) {
      this.#seen.set(place, hole);
      return false;
    }
    this.#seen.delete(place);
    return true;
  }
}

/** The brokers' answer about a hole; null if they cannot be asked. */
async function ask(
  { isHole }: ConsumerSession,
  { partition, from, to }: OffsetGap,
  stop: AbortSignal,
): Promise<boolean | null> {
  try {
    return isHole === undefined ? null : await unlessAborted(isHole(partition, from, to), stop);
  } catch {
    return stop.aborted ? false : null;
  }
}
