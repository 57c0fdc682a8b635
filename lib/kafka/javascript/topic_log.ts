import { Epochs } from "../epochs.ts";
import type { ConsumerOptions, IncomingMessage, Positions } from "../kafka.ts";
import { CutLog, Fetcher, type FetchingShare } from "./fetch.ts";
import type { LogConsumer } from "./log_consumer.ts";
import { SecondLook } from "./second_look.ts";

/**
 * The log of a topic as a consumer reads it, whichever client keeps its membership: its messages,
 * its epochs and its holes.
 */
export class TopicLog implements AsyncDisposable {
  readonly #options: ConsumerOptions;
  readonly #epochs = new Epochs();
  readonly #look: SecondLook;
  #cut: { readonly topicId: string; readonly partition: number; readonly at: number } | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#look = new SecondLook(options);
  }

  /**
   * The messages of a share from exactly these positions, until `stop` aborts. Throws where it
   * cannot go on.
   */
  async *messages(
    client: LogConsumer,
    share: FetchingShare,
    positions: Positions,
    stop: AbortSignal,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    const { topicId } = share.assignment;
    this.#epochs.begin(topicId);
    try {
      yield* new Fetcher(client, this.#options, share, positions, this.#epochs, stop).messages();
    } catch (error) {
      if (error instanceof CutLog) this.#cut = { topicId, partition: error.partition, at: error.at };
      throw error;
    }
  }

  /** As `Reading.isHole` says. */
  isHole(topicId: string, partition: number, from: number, to: number): Promise<boolean> {
    return this.#look.isHole(topicId, partition, from, to);
  }

  /**
   * Where logs were cut below these positions, as the broker said to the last reading. Asked before
   * each one.
   */
  async cuts(client: LogConsumer, topicId: string, positions: Positions): Promise<Positions> {
    this.#epochs.begin(topicId);
    await this.#learnEpochs(client, positions);
    const cut = this.#cut;
    this.#cut = undefined;
    const isBelow = cut?.topicId === topicId && cut.at < (positions.get(cut.partition) ?? -1);
    return new Map(cut !== undefined && isBelow ? [[cut.partition, cut.at]] : []);
  }

  /** The leader's epoch of the message before `next`, for a commit; -1 where it is not known. */
  epochBefore(partition: number, next: number): number {
    return this.#epochs.before(partition, next);
  }

  /**
   * Learns epochs from the commits, which another member, or this one before a restart, has made.
   */
  async #learnEpochs(client: LogConsumer, positions: Positions): Promise<void> {
    const unknown = this.#epochs.unknown(positions);
    if (unknown.length === 0) return;
    const { topic } = this.#options;
    client.onCommitted = (partition, offset, epoch) => this.#epochs.note(partition, offset - 1, epoch);
    await client.listCommittedOffsets({ topics: [{ topic, partitions: unknown }] }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#look[Symbol.asyncDispose]();
  }
}
