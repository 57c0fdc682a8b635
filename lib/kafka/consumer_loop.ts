import { pause, retry } from "../async/retry.ts";
import { unlessAborted } from "../async/waits.ts";
import { awaitLeader, describeAssignment, type DescribedAssignment, offsetsOf } from "./consumer_assignment.ts";
import { type GroupMember, type JoinGroup, OutdatedAssignment } from "./consumer_member.ts";
import { javascriptErrors } from "./javascript/errors.ts";
import type { TopicLog } from "./javascript/topic_log.ts";
import {
  type ConsumerOptions,
  type ConsumerSession,
  type FindPositions,
  type IncomingMessage,
  type KafkaConsumer,
  KafkaSetupError,
  type LogPositions,
} from "./kafka.ts";
import { LATEST } from "./offsets.ts";
import { startPositions } from "./start_positions.ts";
import { explained, GroupNotReadyError, isPassing } from "./setup_errors.ts";
import { GIVING, notGiving, type StatusReporter } from "./status_reporter.ts";

/**
 * The number of failed tries to join a group that is not ready yet before that is told: some
 * seconds. The first group of a new cluster needs one or two of them.
 */
const EARLY_TRIES = 5;

/** The way to a group and a log. */
export interface ConsumerParts {
  /** Joins the group with one of the two libraries. */
  readonly join: JoinGroup;
  /**
   * Reads the topic's log. Not through librdkafka, which unpacks all it fetches: a kilobyte may
   * become gigabytes.
   */
  readonly log: Pick<TopicLog, "messages" | "withCut" | "isHole"> & AsyncDisposable;
}

/** How a reading ended, and whether it gave messages. */
interface Outcome {
  failure?: Error;
  succeeded: boolean;
}

/**
 * The consumer of both clients: one reading after the other, whatever happens to the group or the
 * brokers.
 */
export class ConsumerLoop implements KafkaConsumer {
  readonly #options: ConsumerOptions;
  readonly #status: StatusReporter;
  readonly #join: JoinGroup;
  readonly #log: ConsumerParts["log"];
  readonly #closing = new AbortController();
  #member: GroupMember | undefined;
  #joining: Promise<unknown> = Promise.resolve();

  constructor(options: ConsumerOptions, status: StatusReporter, { join, log }: ConsumerParts) {
    this.#options = options;
    this.#status = status;
    this.#join = join;
    this.#log = log;
  }

  async *readings(find: FindPositions, signal: AbortSignal): AsyncGenerator<ConsumerSession, void> {
    const end = AbortSignal.any([signal, this.#closing.signal]);
    let failures = 0;
    while (!end.aborted) {
      const described = await this.#waitForAssignment(end);
      if (described === null) return;
      const { member, changed, leaderless } = described;
      const { firstStarts, ...assignment } = this.#log.withCut(described.assignment);
      const positions = await startPositions({ ...assignment, firstStarts }, find, end);
      // The look may have taken long: a partition that is no longer this member's must not be read.
      if (changed.aborted || end.aborted) continue;
      if ("failure" in positions) {
        await this.#waitAfter(positions.failure, ++failures, end);
        continue;
      }
      const left = new AbortController();
      const stop = AbortSignal.any([end, changed, left.signal]);
      const outcome: Outcome = { succeeded: false };
      if (leaderless.length > 0) {
        this.#status.remark(`Nobody leads partition ${leaderless.join(", ")} of the topic: the others are read`);
        void awaitLeader(described, left, stop);
      }
      try {
        const numbers = assignment.partitions.map(({ partition }) => partition);
        yield {
          assignment,
          positions,
          messages: this.#messages(described, positions, stop, outcome),
          logEnds: () => offsetsOf(member)(numbers, LATEST),
          isHole: (partition, from, to) => this.#log.isHole(assignment.topicId, partition, from, to),
        };
      } finally {
        // The reader may have left while the messages were waiting for more.
        left.abort();
      }
      failures = outcome.succeeded ? 0 : failures + 1;
      if (outcome.failure !== undefined) await this.#waitAfter(outcome.failure, failures, end);
    }
  }

  async commit(positions: LogPositions): Promise<void> {
    if (positions.size > 0) await this.#member?.commit(positions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("The consumer was closed"));
    await Promise.all([this.#joining.then(() => this.#leave(true)), this.#log[Symbol.asyncDispose]()]);
  }

  /** Joins where that is needed, and waits for an assignment. Null where `signal` aborts first. */
  async #waitForAssignment(signal: AbortSignal): Promise<DescribedAssignment | null> {
    let early = EARLY_TRIES;
    const work = async () => {
      try {
        return await this.#describe(signal);
      } catch (error) {
        const isExpected = error instanceof GroupNotReadyError && early-- > 0;
        // Each other failure, since a later one may be of another kind.
        if (!isExpected && isPassing(error) && !signal.aborted) this.#report(error);
        throw error;
      }
    };
    try {
      // Joining a group may take as long as its slowest member does: a stop does not wait for that.
      return await unlessAborted(retry(work, { signal, isPassing }), signal);
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }

  async #describe(signal: AbortSignal): Promise<DescribedAssignment> {
    while (true) {
      signal.throwIfAborted();
      if (this.#member?.membership.failed) await this.#leave(false);
      const member = this.#member ?? await this.#joined(signal);
      const described = await describeAssignment(member, this.#options, signal);
      if (described !== null) return described;
    }
  }

  async #joined(signal: AbortSignal): Promise<GroupMember> {
    const joining = this.#join(signal).then((member) => this.#member = member);
    this.#joining = joining.catch(() => {});
    return await joining;
  }

  async #leave(isLast: boolean): Promise<void> {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) return;
    member.membership.fail(new Error("The consumer was closed"));
    await member.leave(isLast);
  }

  /** The messages of a reading. It just ends for the reader; `outcome` keeps why it ended. */
  async *#messages(
    described: DescribedAssignment,
    positions: LogPositions,
    stop: AbortSignal,
    outcome: Outcome,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    const { membership, fetching } = described.member;
    try {
      for await (const messages of this.#log.messages(fetching, described, positions, stop)) {
        this.#status.settle(GIVING);
        outcome.succeeded = true;
        yield messages;
      }
    } catch (error) {
      if (error instanceof OutdatedAssignment) membership.fail(error);
      else outcome.failure = explained(error, this.#options.topic, javascriptErrors);
    }
  }

  /** Throws what no waiting mends; tells of any other error, and waits before the next try. */
  async #waitAfter(error: unknown, failures: number, signal: AbortSignal): Promise<void> {
    if (error instanceof KafkaSetupError) throw error;
    this.#report(error);
    await pause(failures, signal);
  }

  #report(error: unknown): void {
    this.#status.report(notGiving(error instanceof Error ? error.message : String(error)));
  }
}
