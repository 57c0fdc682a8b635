import { unlessAborted } from "../async/waits.ts";
import type { ConsumerSession } from "../kafka/kafka.ts";

/** A gap: the offsets of a partition, from `from` to `to` (excluded), of which no message came. */
export interface OffsetGap {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  /**
   * From here to `to` the client has seen in the log itself that there is no message. Absent: it
   * has seen nothing.
   */
  readonly since?: number;
}

/**
 * Decides which gaps are lawful. A gap is lawful if it is a hole in the log: compaction and
 * transactions leave offsets without a message. But a client that loses its place makes gaps too,
 * where the log has messages. So each gap is confirmed by itself. The client confirms it if it has
 * seen the hole in the log. If not, the brokers are asked again. If they cannot be asked, the
 * partition is read again from its mark, and must show the very same gap.
 */
export class OffsetGaps {
  /** Partition → its last gap that nobody could be asked about: begin and end. */
  readonly #seen = new Map<string, string>();

  /** True if the gap is lawful. False also if `stop` aborts first. */
  async isLawful(session: ConsumerSession, gap: OffsetGap, stop: AbortSignal): Promise<boolean> {
    const { partition, from, to, since = to } = gap;
    // The client has not seen the offsets before `since`: its word counts only for a whole gap.
    if (since <= from) return true;
    const asked = await ask(session, gap, stop);
    return asked ?? this.#isSeenAgain(`${session.assignment.topicId}/${partition}`, `${from} ${to}`);
  }

  #isSeenAgain(place: string, gap: string): boolean {
    if (this.#seen.get(place) !== gap) {
      this.#seen.set(place, gap);
      return false;
    }
    this.#seen.delete(place);
    return true;
  }
}

/** The brokers' answer whether a gap is a hole in the log; null if they cannot be asked. */
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
