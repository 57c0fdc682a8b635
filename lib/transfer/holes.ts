import type { IncomingMessage, Reading } from "../kafka.ts";
import { unlessAborted } from "../unless_aborted.ts";

/**
 * Which holes between offsets are believed. Compaction and transactions leave holes; a client that loses its place leaves one
 * too. So each is confirmed by itself: by the client, where it sees in the log that nothing stands there; else by asking the
 * brokers again. Where they cannot be asked, the partition is read again from its mark, and must show the very same hole.
 */
export class Holes {
  /** The last hole of each partition that nobody could be asked about: where it begins and ends. */
  readonly #seen = new Map<string, string>();

  /** True where the hole from `position` to the message is lawful. False too where `stop` aborts first. */
  async isLawful(reading: Reading, position: number, message: IncomingMessage, stop: AbortSignal): Promise<boolean> {
    const { partition, offset, since = offset } = message;
    // The client knows of nothing before `since`: what is between stands for itself only as a whole.
    if (since <= position) return true;
    const asked = await ask(reading, partition, position, offset, stop);
    return asked ?? this.#isSeenAgain(`${reading.assignment.topicId}/${partition}`, `${position} ${offset}`);
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
  { isHole }: Reading,
  partition: number,
  from: number,
  to: number,
  stop: AbortSignal,
): Promise<boolean | null> {
  try {
    return isHole === undefined ? null : await unlessAborted(isHole(partition, from, to), stop);
  } catch {
    return stop.aborted ? false : null;
  }
}
