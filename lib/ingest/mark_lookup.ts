import type { AssignedPartition, Assignment, LogPosition, LogPositions } from "../kafka/kafka.ts";
import type { Store, TopicIdentity } from "../postgres/store.ts";
import { type DatabaseEvents, type DatabaseWait, untilAnswered } from "./database_wait.ts";
import type { ReaderEvents } from "./message_reader.ts";

export interface MarkLookupOptions extends DatabaseWait {
  readonly events: DatabaseEvents & Pick<ReaderEvents, "lost">;
}

/**
 * Looks up in the database where to read each partition from: at its mark. If the log no longer has
 * that offset, moves the mark. It answers the `FindPositions` question of `KafkaConsumer`.
 */
export class MarkLookup {
  readonly #store: Store;
  readonly #options: MarkLookupOptions;
  /** Marks that did not fit the log at the last look, and how. */
  readonly #doubted = new Map<string, "short" | "replaced">();

  constructor(store: Store, options: MarkLookupOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** The place to read next of each partition. */
  async find(assignment: Assignment): Promise<LogPositions> {
    await this.#claimFirst(assignment);
    const starts = new Map(assignment.partitions.map(({ partition, logStart }) => [partition, logStart]));
    const claim = () => untilAnswered(() => this.#store.marks.claim(assignment, starts), this.#options);
    const marks = await claim();
    let moved = false;
    for (const partition of assignment.partitions) {
      const mark = marks.get(partition.partition);
      if (mark !== undefined && await this.#recordLoss(assignment, partition, mark)) moved = true;
    }
    return moved ? await claim() : marks;
  }

  /**
   * Gives all partitions of a topic their first marks, at `--kafka-start`, if no topic of this name
   * has a mark. It gives them all at once. A partition that gets none now was not there yet, or
   * nobody could say where it ends. It is later read from its first message.
   */
  async #claimFirst(assignment: Assignment): Promise<void> {
    const { firstStarts, partitions } = assignment;
    if (firstStarts === undefined || partitions.length === 0) return;
    if (await untilAnswered(() => this.#store.marks.knows(assignment), this.#options)) return;
    const starts = await firstStarts();
    await untilAnswered(() => this.#store.marks.claimFirst(assignment, starts), this.#options);
  }

  /** Moves the mark to an offset that the log can give, and records the loss. True if it did. */
  async #recordLoss(identity: TopicIdentity, range: AssignedPartition, place: LogPosition): Promise<boolean> {
    const { partition, logStart, logEnd, cut } = range;
    const mark = place.offset;
    if (mark < logStart) {
      const reason =
        `offsets ${mark} to ${logStart - 1} of partition ${partition} were deleted from the topic before ` +
        `they were read: up to ${logStart - mark} messages are lost; lengthen the topic's retention`;
      return await this.#skip(identity, partition, mark, { offset: logStart, epoch: null }, reason);
    }
    // Another consumer may have moved the mark since the cut was heard of, and stored what is there
    // now.
    const isCut = cut !== undefined && cut.from.offset === mark && cut.from.epoch === place.epoch;
    if (isCut && cut.to.offset < mark) {
      const reason =
        `partition ${partition} was cut at offset ${cut.to.offset}, before the mark ${mark}: the broker has lost ` +
        `messages that it had acknowledged; what was written there since is read`;
      return await this.#skip(identity, partition, mark, cut.to, reason);
    }
    const key = `${identity.topicId}/${partition}/${mark}`;
    const doubt = mark > logEnd ? "short" : isCut ? "replaced" : null;
    // A leader that has just been elected may show an end that is too low: one look is not enough.
    // Until the second look the mark stays, the client is refused once more, and comes back here.
    if (doubt === null || this.#doubted.get(key) !== doubt) {
      if (doubt === null) this.#doubted.delete(key);
      else this.#doubted.set(key, doubt);
      return false;
    }
    if (doubt === "short") {
      const reason = `partition ${partition} ends at offset ${logEnd}, before the mark ${mark}: the broker has lost ` +
        `messages that it had acknowledged; reading goes on at its end`;
      return await this.#skip(identity, partition, mark, { offset: logEnd, epoch: null }, reason);
    }
    // Nobody knows how far down: to go back too far would store messages twice.
    const reason =
      `partition ${partition} has other messages before the mark ${mark} than those that were read: the broker has ` +
      `lost messages that it had acknowledged; those that took their places are not read`;
    return await this.#skip(identity, partition, mark, { offset: mark, epoch: null }, reason);
  }

  async #skip(
    identity: TopicIdentity,
    partition: number,
    from: number,
    to: LogPosition,
    reason: string,
  ): Promise<boolean> {
    let tries = 0;
    const skip = () => {
      tries++;
      return this.#store.marks.skip(identity, partition, from, to, reason);
    };
    // The answer to an earlier try may have been lost, though that try succeeded.
    const done = await untilAnswered(skip, this.#options) ||
      tries > 1 &&
        await untilAnswered(() => this.#store.marks.hasSkipped(identity, partition, from, reason), this.#options);
    if (done) this.#options.events.lost(reason);
    return true; // Also if another consumer moved the mark first: the marks are read again.
  }
}
