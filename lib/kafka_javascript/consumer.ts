import { Consumer, ListOffsetTimestamps } from "@platformatic/kafka";
import type {
  AssignedPartition,
  ConsumerOptions,
  IncomingMessage,
  KafkaConsumer,
  KafkaSetupError,
  Position,
  Positions,
  Reading,
} from "../kafka.ts";
import { asSetupError, connectionOptions, describeTopic, reason } from "./connection.ts";
import { Fetcher, PartitionsAdded } from "./fetch.ts";
import { Membership } from "../kafka/membership.ts";
import { type Described, type Group, readings, startOffset, unknownLog } from "../kafka/readings.ts";
import { CLOSE_LIMIT, HEARTBEAT_EVERY, SESSION_LIMIT, type Troubles, within } from "../kafka/setup.ts";
import { topicIdHex } from "../kafka/topic_id.ts";

/** Milliseconds that the group waits for this member to join again; the library does so by itself within a heartbeat. */
const REBALANCE_LIMIT = 30_000;
/** How often the library tries a request before it tells: beginning a new reading is cheap, so not often. */
const RETRIES = 3;

/** The library's client, and what it holds of the group. */
interface Member {
  readonly consumer: Consumer;
  readonly membership: Membership;
}

interface Share extends Described {
  readonly consumer: Consumer;
  /** Partitions of the whole topic. */
  readonly partitions: number;
}

/** Reads with the library's group membership and its fetch requests. */
export class JavascriptConsumer implements KafkaConsumer, Group<Share> {
  readonly #options: ConsumerOptions;
  readonly #troubles: Troubles;
  #member: Member | undefined;

  constructor(options: ConsumerOptions, troubles: Troubles) {
    this.#options = options;
    this.#troubles = troubles;
  }

  readings(position: Position, signal: AbortSignal): AsyncGenerator<Reading, void> {
    return readings(this, position, this.#troubles, signal);
  }

  async describe(signal: AbortSignal): Promise<Share> {
    const { consumer, membership } = await this.#joined();
    const { partitions, changed } = await membership.share(signal);
    const { topic } = this.#options;
    const { id, cluster, partitions: count } = await describeTopic(consumer, topic);
    const assigned = await this.#lookAt(consumer, partitions);
    if (changed.aborted) return await this.describe(signal);
    const topicId = topicIdHex(id) ?? `${cluster}/${topic}`;
    return { assignment: { topic, topicId, partitions: assigned }, changed, consumer, partitions: count };
  }

  async *messages(
    share: Share,
    positions: Positions,
    stop: AbortSignal,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    try {
      yield* new Fetcher(share.consumer, this.#options, share, positions, stop).messages();
    } catch (error) {
      if (!(error instanceof PartitionsAdded)) throw error;
      // Joining again asks the group to share out anew; where that fails, a new membership does.
      await share.consumer.joinGroup({}).catch((failure) => this.#member?.membership.fail(failure));
    }
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
    await within(CLOSE_LIMIT, member.consumer.close(true));
  }

  async #lookAt(consumer: Consumer, partitions: readonly number[]): Promise<AssignedPartition[]> {
    if (partitions.length === 0) return [];
    const { topic, start } = this.#options;
    const find = async (timestamp: bigint) => {
      // 0: of all messages, also those of transactions that are still open.
      const question = { topics: [topic], partitions: { [topic]: [...partitions] }, timestamp, isolationLevel: 0 };
      return ((await consumer.listOffsets(question)).get(topic) ?? []).map(Number);
    };
    const [starts, ends, times] = await Promise.all([
      find(ListOffsetTimestamps.EARLIEST),
      find(ListOffsetTimestamps.LATEST),
      typeof start === "object" ? find(BigInt(start.time)) : [],
    ]);
    return partitions.map((partition) => {
      const [logStart, logEnd] = [starts[partition], ends[partition]];
      if (logStart === undefined || logEnd === undefined) throw unknownLog(partition);
      return { partition, logStart, logEnd, start: startOffset(start, logStart, logEnd, times[partition] ?? -1) };
    });
  }

  async commit(positions: Positions): Promise<void> {
    const member = this.#member;
    if (member === undefined || member.membership.failed || positions.size === 0) return;
    const { topic } = this.#options;
    const offsets = Array.from(positions, ([partition, offset]) => {
      return { topic, partition, offset: BigInt(offset), leaderEpoch: -1 };
    });
    await member.consumer.commit({ offsets }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave();
  }
}

function newMember(options: ConsumerOptions): Member {
  const consumer = new Consumer({
    ...connectionOptions(options),
    groupId: options.group,
    autocommit: false,
    sessionTimeout: SESSION_LIMIT,
    heartbeatInterval: HEARTBEAT_EVERY,
    rebalanceTimeout: REBALANCE_LIMIT,
    // Known to librdkafka too: members with either client can share a group.
    protocols: [{ name: "roundrobin", version: 1 }],
    retries: RETRIES,
  });
  const membership = new Membership();
  consumer.topics.track(options.topic);
  consumer.on("consumer:group:rebalance", () => membership.lose());
  consumer.on("consumer:group:join", () => {
    membership.gain(consumer.assignments?.find(({ topic }) => topic === options.topic)?.partitions ?? []);
  });
  // A failed joining after a heartbeat ends up here; without a listener it would end the process.
  consumer.on("error", (error: unknown) => membership.fail(error));
  return { consumer, membership };
}
