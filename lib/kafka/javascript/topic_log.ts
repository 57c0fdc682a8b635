import type { Assignment, ConsumerOptions, IncomingMessage, LogCut, LogPositions } from "../kafka.ts";
import { CutLogError, type FetchedAssignment, Fetcher } from "./fetch.ts";
import type { LogConsumer } from "./log_consumer.ts";
import { SecondLook } from "./second_look.ts";

/**
 * The log of a topic as a consumer of either client reads it: the messages, and the knowledge of
 * the log that they give.
 */
export class TopicLog implements AsyncDisposable {
  readonly #options: ConsumerOptions;
  readonly #look: SecondLook;
  #heard: { readonly topicId: string; readonly partition: number; readonly cut: LogCut } | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#look = new SecondLook(options);
  }

  /**
   * The messages of an assignment from exactly these positions, until `stop` aborts. Throws where
   * it cannot go on.
   */
  async *messages(
    client: LogConsumer,
    fetched: FetchedAssignment,
    positions: LogPositions,
    stop: AbortSignal,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    const { topicId } = fetched.assignment;
    try {
      yield* new Fetcher(client, this.#options, fetched, positions, stop).messages();
    } catch (error) {
      if (error instanceof CutLogError) this.#heard = { topicId, partition: error.partition, cut: error.cut };
      throw error;
    }
  }

  /**
   * The assignment, with the cut that the last reading heard of. It is told once: a reading from
   * the same place would hear of it again.
   */
  withCut(assignment: Assignment): Assignment {
    const heard = this.#heard;
    this.#heard = undefined;
    if (heard?.topicId !== assignment.topicId) return assignment;
    const partitions = assignment.partitions.map((one) => {
      return one.partition === heard.partition ? { ...one, cut: heard.cut } : one;
    });
    return { ...assignment, partitions };
  }

  /** As `ConsumerSession.isHole` says. */
  isHole(topicId: string, partition: number, from: number, to: number): Promise<boolean> {
    return this.#look.isHole(topicId, partition, from, to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#look[Symbol.asyncDispose]();
  }
}
