import {
  type Consumer,
  type GroupPartitionsAssigner,
  ListOffsetTimestamps,
  roundRobinAssigner,
} from "@platformatic/kafka";
import { isOutdated, newTopicSnapshot, note, OutdatedAssignment, type TopicSnapshot } from "../topic_snapshot.ts";
import type {
  Assignment,
  ConsumerOptions,
  ConsumerSession,
  IncomingMessage,
  KafkaConsumer,
  KafkaSetupError,
  Position,
  Positions,
} from "../kafka.ts";
import { Membership } from "../membership.ts";
import { bounds, type Described, type Find, type Group, readings, startOffsets } from "../readings.ts";
import { closedInTime, HEARTBEAT_EVERY, SESSION_LIMIT } from "../client_settings.ts";
import type { StatusReporter } from "../status_reporter.ts";
import { topicIdHex } from "../topic_id.ts";
import { asSetupError, connectionOptions, identifyTopic, reason, type TopicDescription } from "./connection.ts";
import { LogConsumer, RETRIES } from "./log_consumer.ts";
import { TopicLog } from "./topic_log.ts";

/**
 * Milliseconds that the group waits for this member to join again; the library does so by itself
 * within a heartbeat.
 */
const REBALANCE_LIMIT = 30_000;

/** The library's client, and what it holds of the group. */
interface Member {
  readonly consumer: LogConsumer;
  readonly membership: Membership;
  readonly snapshot: TopicSnapshot;
}

interface Share extends Described {
  readonly consumer: LogConsumer;
  /** Partitions of the whole topic. */
  readonly partitions: number;
}

/** Reads with the library's group membership and its fetch requests. */
export class JavascriptConsumer implements KafkaConsumer, Group<Share> {
  readonly #options: ConsumerOptions;
  readonly #status: StatusReporter;
  readonly #log: TopicLog;
  #member: Member | undefined;

  constructor(options: ConsumerOptions, status: StatusReporter) {
    this.#options = options;
    this.#status = status;
    this.#log = new TopicLog(options);
  }

  readings(position: Position, signal: AbortSignal): AsyncGenerator<ConsumerSession, void> {
    return readings(this, position, this.#status, signal);
  }

  async describe(signal: AbortSignal): Promise<Share> {
    signal.throwIfAborted();
    const { consumer, membership, snapshot } = await this.#joined();
    const { partitions, changed } = await membership.share(signal);
    const { topic } = this.#options;
    const now = await identifyTopic(consumer, topic);
    if (changed.aborted) return await this.describe(signal);
    if (isOutdated(partitions, snapshot, now)) {
      // Leaving makes the group share out anew. Joining once more does not: the broker heeds that of the leader alone.
      membership.fail(new OutdatedAssignment(`The topic ${topic} has changed`));
      return await this.describe(signal);
    }
    note(snapshot, now);
    const leaderless = partitions.filter((partition) => now.leaderless.includes(partition));
    const led = partitions.filter((partition) => !leaderless.includes(partition));
    const find: Find = (partitions, time) => this.#find(consumer, partitions, BigInt(time));
    const assigned = await bounds(led, find);
    // The bounds were asked for by the topic's name: they are of this topic only if it is still the same one.
    const isSame = (await identifyTopic(consumer, topic)).id === now.id;
    if (changed.aborted || !isSame) return await this.describe(signal);
    const topicId = topicIdHex(now.id) ?? `${now.cluster}/${topic}`;
    const assignment = { topic, topicId, partitions: assigned, ...this.#firstStarts(consumer, now, find) };
    return { assignment, changed, leaderless, consumer, partitions: now.partitions };
  }

  /** Where all partitions of the topic begin that somebody leads, where that is not their first message. */
  #firstStarts(consumer: Consumer, now: TopicDescription, find: Find): Pick<Assignment, "firstStarts"> {
    const { start, topic } = this.#options;
    if (start === "earliest") return {};
    const all = Array.from({ length: now.partitions }, (_, n) => n).filter((n) => !now.leaderless.includes(n));
    const firstStarts = async () => {
      const starts = await startOffsets(start, all, find);
      if ((await identifyTopic(consumer, topic)).id !== now.id) {
        throw new OutdatedAssignment(`The topic ${topic} has changed`);
      }
      return starts;
    };
    return { firstStarts };
  }

  async *messages(
    share: Share,
    positions: Positions,
    stop: AbortSignal,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    try {
      yield* this.#log.messages(share.consumer, share, positions, stop);
    } catch (error) {
      if (!(error instanceof OutdatedAssignment)) throw error;
      if (this.#member?.consumer === share.consumer) this.#member.membership.fail(error);
    }
  }

  async logEnds({ assignment, consumer }: Share): Promise<Positions> {
    const partitions = assignment.partitions.map(({ partition }) => partition);
    return await this.#find(consumer, partitions, ListOffsetTimestamps.LATEST);
  }

  isHole({ assignment }: Share, partition: number, from: number, to: number): Promise<boolean> {
    return this.#log.isHole(assignment.topicId, partition, from, to);
  }

  cuts({ assignment, consumer }: Share, positions: Positions): Promise<Positions> {
    return this.#log.cuts(consumer, assignment.topicId, positions);
  }

  async hasNewLeader({ consumer, leaderless }: Share): Promise<boolean> {
    const now = await identifyTopic(consumer, this.#options.topic);
    return leaderless.some((partition) => !now.leaderless.includes(partition));
  }

  asSetupError(error: unknown): KafkaSetupError | null {
    return asSetupError(error, this.#options.topic);
  }

  reason(error: unknown): string {
    return reason(error);
  }

  /** The membership there is, or a new one. */
  async #joined(): Promise<Member> {
    if (this.#member?.membership.failed) await this.#leave();
    if (this.#member !== undefined) return this.#member;
    this.#member = newMember(this.#options);
    try {
      await this.#member.consumer.joinGroup({});
      return this.#member;
    } catch (error) {
      await this.#leave();
      throw error;
    }
  }

  async #leave(): Promise<void> {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) return;
    member.membership.fail(new Error("The consumer was closed"));
    await closedInTime(member.consumer.close(true));
  }

  /** By partition: the first offset at a time or later, below 0 if there is none. */
  async #find(consumer: Consumer, partitions: readonly number[], timestamp: bigint): Promise<Positions> {
    if (partitions.length === 0) return new Map();
    const { topic } = this.#options;
    // 0: of all messages, also those of transactions that are still open.
    const question = { topics: [topic], partitions: { [topic]: [...partitions] }, timestamp, isolationLevel: 0 };
    // The library gives an array with a place for each partition of the topic; those that were not asked for are empty.
    const found = (await consumer.listOffsets(question)).get(topic) ?? [];
    return new Map(partitions.flatMap((partition) => {
      const offset = found[partition];
      return offset === undefined ? [] : [[partition, Number(offset)] as const];
    }));
  }

  async commit(positions: Positions): Promise<void> {
    const member = this.#member;
    if (member === undefined || member.membership.failed || positions.size === 0) return;
    const { topic } = this.#options;
    const offsets = Array.from(positions, ([partition, offset]) => {
      // For a member that goes on here: what the broker loses meanwhile shows then.
      return { topic, partition, offset: BigInt(offset), leaderEpoch: this.#log.epochBefore(partition, offset) };
    });
    await member.consumer.commit({ offsets }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#leave(), this.#log[Symbol.asyncDispose]()]);
  }
}

function newMember(options: ConsumerOptions): Member {
  const snapshot = newTopicSnapshot();
  const partitionAssigner: GroupPartitionsAssigner = (self, members, topics, metadata) => {
    snapshot.sharedOut = metadata.topics.get(options.topic)?.partitionsCount ?? null;
    return roundRobinAssigner(self, members, topics, metadata);
  };
  const consumer = new LogConsumer({
    ...connectionOptions(options),
    groupId: options.group,
    autocommit: false,
    sessionTimeout: SESSION_LIMIT,
    heartbeatInterval: HEARTBEAT_EVERY,
    rebalanceTimeout: REBALANCE_LIMIT,
    // Known to librdkafka too: members with either client can share a group.
    protocols: [{ name: "roundrobin", version: 1 }],
    partitionAssigner,
    retries: RETRIES,
  });
  const membership = new Membership();
  consumer.topics.track(options.topic);
  consumer.on("consumer:group:rebalance", () => {
    snapshot.sharedOut = null;
    membership.lose();
  });
  consumer.on("consumer:group:join", () => {
    // The next look is at the topic that this share is of: whatever came before, it is asked for by its id.
    snapshot.id = snapshot.partitions = null;
    membership.gain(consumer.assignments?.find(({ topic }) => topic === options.topic)?.partitions ?? []);
  });
  // A failed joining after a heartbeat ends up here; without a listener it would end the process.
  consumer.on("error", (error: unknown) => membership.fail(error));
  return { consumer, membership, snapshot };
}
