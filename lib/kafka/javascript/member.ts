import type { GroupPartitionsAssigner } from "@platformatic/kafka";
import { unlessAborted } from "../../async/waits.ts";
import { closedInTime, HEARTBEAT_EVERY, SESSION_LIMIT } from "../client_settings.ts";
import { type GroupMember, type HeldPartitions, Membership } from "../consumer_member.ts";
import type { ConsumerOptions, LogPositions, Positions } from "../kafka.ts";
import { explained } from "../setup_errors.ts";
import type { TopicDescription } from "../topic.ts";
import { connectionOptions, identifyTopic } from "./connection.ts";
import { javascriptErrors } from "./errors.ts";
import { LogConsumer, offsetsAt, RETRIES } from "./log_consumer.ts";
import { roundRobin } from "./round_robin.ts";

/**
 * Milliseconds that the group waits for this member to join again; the library does so by itself
 * within a heartbeat.
 */
const REBALANCE_LIMIT = 30_000;

/** A member of the group through the library's consumer, which also fetches. */
export class JavascriptMember implements GroupMember {
  readonly membership = new Membership();
  readonly fetching: LogConsumer;
  readonly #topic: string;

  static async join(options: ConsumerOptions, signal: AbortSignal): Promise<JavascriptMember> {
    const member = new JavascriptMember(options);
    try {
      await unlessAborted(member.fetching.joinGroup({}), signal);
      return member;
    } catch (error) {
      await member.leave();
      throw member.#explained(error);
    }
  }

  /** Not yet a member. */
  constructor(options: ConsumerOptions) {
    const { topic } = options;
    this.#topic = topic;
    this.fetching = newConsumer(options, this.membership);
    // A failed joining after a heartbeat ends up here; without a listener it would end the process.
    this.fetching.on("error", (error: unknown) => this.membership.fail(this.#explained(error)));
  }

  held(signal: AbortSignal): Promise<HeldPartitions> {
    return this.membership.held(signal);
  }

  async identifyTopic(): Promise<TopicDescription> {
    try {
      return await identifyTopic(this.fetching, this.#topic);
    } catch (error) {
      throw this.#explained(error);
    }
  }

  async findOffsets(partitions: readonly number[], time: number): Promise<Positions> {
    return await offsetsAt(this.fetching, this.#topic, partitions, time).catch((error) => {
      throw this.#explained(error);
    });
  }

  async commit(positions: LogPositions): Promise<void> {
    if (this.membership.failed) return;
    const topic = this.#topic;
    const offsets = Array.from(positions, ([partition, { offset, epoch }]) => {
      return { topic, partition, offset: BigInt(offset), leaderEpoch: epoch ?? -1 };
    });
    await this.fetching.commit({ offsets }).catch(() => {});
  }

  async leave(): Promise<void> {
    await closedInTime(this.fetching.close(true));
  }

  #explained(error: unknown): Error {
    return explained(error, this.#topic, javascriptErrors);
  }
}

/** A consumer that tells `membership` what the group gives it. */
function newConsumer(options: ConsumerOptions, membership: Membership): LogConsumer {
  const { topic, group } = options;
  const { snapshot } = membership;
  const partitionAssigner: GroupPartitionsAssigner = (self, members, topics, metadata) => {
    snapshot.assigned = metadata.topics.get(topic)?.partitionsCount ?? null;
    return roundRobin(self, members, topics, metadata);
  };
  const consumer = new LogConsumer({
    ...connectionOptions(options),
    groupId: group,
    autocommit: false,
    sessionTimeout: SESSION_LIMIT,
    heartbeatInterval: HEARTBEAT_EVERY,
    rebalanceTimeout: REBALANCE_LIMIT,
    // Known to librdkafka too: members with either client can share a group.
    protocols: [{ name: "roundrobin", version: 1 }],
    partitionAssigner,
    retries: RETRIES,
  });
  consumer.topics.track(topic);
  consumer.on("consumer:group:rebalance", () => {
    snapshot.assigned = null;
    membership.lose();
  });
  consumer.on("consumer:group:join", () => {
    // Forgets the id too: the next look learns the topic that there is now. That is safe with this
    // library. It asks for the id anew at each look (`identifyTopic`), and fetches by that id. So
    // it does not go on with an earlier topic of this name. librdkafka/member.ts must keep the id.
    snapshot.id = snapshot.partitions = null;
    membership.gain(consumer.assignments?.find((one) => one.topic === topic)?.partitions ?? []);
  });
  return consumer;
}
