import { unlessAborted } from "../async/waits.ts";
import type { ConsumerSession } from "../kafka/kafka.ts";

/** The offsets of a partition from one to another (not included), of which no message came. */
export interface OffsetGap {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  /** The client knows from the log itself that there is no message from here to `to`; absent: it knows nothing. */
  readonly since?: number;
}

/**
 * Which holes between offsets are believed. Compaction and transactions leave holes; a client that
 * loses its place leaves one too. So each is confirmed by itself: by the client, where it sees in
 * the log that nothing stands there; else by asking the brokers again. Where they cannot be asked,
 * the partition is read again from its mark, and must show the very same hole.
 */
export class OffsetGaps {
  /** The last hole of each partition that nobody could be asked about: where it begins and ends. */
  readonly #seen = new Map<string, string>();

  /** True where the hole is lawful. False too where `stop` aborts first. */
  async isLawful(reading: ConsumerSession, gap: OffsetGap, stop: AbortSignal): Promise<boolean> {
    const { partition, from, to, since = to } = gap;
    // The client knows of nothing before `since`: what is between stands for itself only as a whole.
    if (since <= from) return true;
    const asked = await ask(reading, gap, stop);
    return asked ?? this.#isSeenAgain(`${reading.assignment.topicId}/${partition}`, `${from} ${to}`);
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

/** What the brokers say of a hole; null where they cannot be asked. */
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
