import {
  type ClusterMetadata,
  cooperativeStickyAssigner,
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolAssignment,
  encodeConsumerProtocolSubscription,
} from "@platformatic/kafka";
import { delay } from "../../async/waits.ts";
import {
  type GroupDivision,
  type GroupFigures,
  type GroupIntroduction,
  type GroupListener,
  type IncomingMessage,
  type KafkaOptions,
  KafkaSetupError,
  type ProducerGroup,
} from "../kafka.ts";
import { Lease, readClocks } from "../lease.ts";
import { inGroup, notInGroup, type StatusReporter } from "../status_reporter.ts";
import { MissingTopicError } from "../setup_errors.ts";
import { javascriptErrors } from "./errors.ts";
import { GroupRequests, type Joined, type MemberName, refusalOf } from "./group_requests.ts";
import { readLogTail } from "./log_tail.ts";
import { partitionOf } from "./produce.ts";

/**
 * Milliseconds without a heartbeat after which the group gives a producer's partitions to others.
 * Brokers allow no less than 6 s unless told otherwise. It is more than `REBALANCE_LIMIT`: a member
 * that waits for the others to join holds its partitions all the while.
 */
const SESSION_LIMIT = 7_000;
/** Milliseconds that the group waits for its members to join again. */
const REBALANCE_LIMIT = 5_000;
/** Milliseconds between two heartbeats: a member hears so soon that another one has left. */
const HEARTBEAT_EVERY = 250;
/** The same while partitions are on their way to other members: nobody checks their hosts. */
const HEARTBEAT_SOON = 50;
/**
 * Milliseconds that a member waits before it joins after it was cut off. If all were, the first one
 * would get what the others are still checking.
 */
const GATHER_WAIT = 1_000;
/** Milliseconds between two looks whether the topic has got more partitions, or is another one. */
const LOOK_EVERY = 5_000;
/** Milliseconds until the brokers are asked again after a failure, at most. */
const LONGEST_PAUSE = 1_000;
/** Failures in a row before a group that is not ready yet is told of. */
const EARLY_TRIES = 5;
/** Known to every Kafka client: tools can show the group. */
const PROTOCOL = "cooperative-sticky";
/** With this version a member says in which generation it held its partitions. */
const PROTOCOL_VERSION = 3;
/**
 * Characters of removed keys that a member names, and that the leader tells each member. Brokers
 * keep a whole group in one message, of a megabyte at most.
 */
const REMOVED_LIMIT = 8192;
const NO_NAME: MemberName = { memberId: "", generationId: -1 };
/** The group says that this member is none, or that others have divided without it. */
const OUT: ReadonlySet<string | null> = new Set(["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID"]);

/**
 * A member of a group of producers, by Kafka's own protocol for groups of consumers. Partitions
 * that it keeps stay its own while the group divides anew. One that it loses goes to another member
 * only after it has joined again without it.
 */
export class GroupedProducer implements ProducerGroup {
  readonly #options: KafkaOptions;
  readonly #group: string;
  readonly #status: StatusReporter;
  readonly #lease = new Lease(SESSION_LIMIT);
  #name = NO_NAME;
  #held: readonly number[] = [];
  /** The group's generation in which it held them last. */
  #heldIn = -1;
  /** How many partitions the topic had by the division that gave them. */
  #heldOf = 0;
  /** When the number of partitions last became another one: see `GroupDivision`. */
  #grownAt = 0;
  /** True while partitions are on their way from one member to another. */
  #isMoving = false;
  /** The topic when this member last joined. */
  #topic: { readonly id: string; readonly partitions: number } | undefined;
  #mustJoin = true;
  #given = 0;
  #isJoining = false;

  constructor(options: KafkaOptions, group: string, status: StatusReporter) {
    this.#options = options;
    this.#group = group;
    this.#status = status;
  }

  get figures(): GroupFigures {
    return { held: this.#held.length, given: this.#given, silence: this.#lease.silence(readClocks()) };
  }

  mayAct(): boolean {
    return this.#lease.allows(readClocks());
  }

  introduceAgain(): void {
    this.#mustJoin = true;
  }

  partitionOf(key: string, partitions: number): number {
    return partitionOf(key, partitions);
  }

  readTail(
    partitions: readonly number[],
    window: number,
    signal: AbortSignal,
  ): AsyncIterable<readonly IncomingMessage[]> {
    return readLogTail(this.#options, partitions, window, signal);
  }

  async stay(listener: GroupListener, stop: AbortSignal): Promise<void> {
    for (let failures = 0; !stop.aborted;) {
      try {
        await using requests = await this.#reach(stop);
        this.#isJoining = false;
        await this.#beat(requests, listener, stop, () => failures = 0);
      } catch (error) {
        if (stop.aborted) return;
        this.#consider(error, ++failures);
        await delay(Math.min(100 * 2 ** failures, LONGEST_PAUSE), stop);
      }
    }
  }

  /** Finds the coordinator. Where no broker can name one, nobody can take anything over. */
  async #reach(stop: AbortSignal): Promise<GroupRequests> {
    try {
      const requests = await GroupRequests.open(this.#options, this.#group, stop);
      this.#lease.reach(readClocks());
      return requests;
    } catch (error) {
      this.#lease.cutOff();
      throw error;
    }
  }

  /** Joins where that is needed, and tells the group that it lives, until `stop` aborts. */
  async #beat(
    requests: GroupRequests,
    listener: GroupListener,
    stop: AbortSignal,
    onAnswer: () => void,
  ): Promise<void> {
    try {
      for (let lookedAt = performance.now(); !stop.aborted;) {
        if (this.#mustJoin) await this.#join(requests, listener, stop);
        else await this.#heartbeat(requests, listener, stop);
        onAnswer();
        this.#status.settle(inGroup(this.#group));
        if (this.#mustJoin) continue;
        await delay(this.#isMoving ? HEARTBEAT_SOON : HEARTBEAT_EVERY, stop);
        if (performance.now() - lookedAt < LOOK_EVERY || stop.aborted) continue;
        lookedAt = performance.now();
        await this.#lookAtTopic(requests, stop);
      }
    } finally {
      if (stop.aborted) await this.#leave(requests).catch(() => {});
    }
  }

  /** Tells the group, so that the others need not wait for the end of the session. */
  async #leave(requests: GroupRequests): Promise<void> {
    const { memberId } = this.#name;
    if (memberId === "") return;
    const signal = new AbortController().signal;
    if (!this.#isJoining) return await requests.leave(memberId, signal);
    // A broker answers a connection in turn, and a joining only when all members have joined.
    await using other = await GroupRequests.open(this.#options, this.#group, signal);
    await other.leave(memberId, signal);
  }

  async #heartbeat(requests: GroupRequests, listener: GroupListener, stop: AbortSignal): Promise<void> {
    const sentAt = readClocks();
    try {
      await requests.heartbeat(this.#name, stop);
      this.#lease.renew(sentAt);
    } catch (error) {
      if (!this.#mayJoinAfter(error, listener)) throw error;
      // The group divides anew, and still counts this member.
      if (this.#name.generationId >= 0) this.#lease.renew(sentAt);
      this.#mustJoin = true;
    }
  }

  async #join(requests: GroupRequests, listener: GroupListener, stop: AbortSignal): Promise<void> {
    if (this.#lease.isCutOff) await delay(GATHER_WAIT, stop);
    this.#mustJoin = false;
    try {
      const { id, partitions } = await requests.identifyTopic(stop);
      this.#topic = { id, partitions };
      const { memberId } = this.#name;
      const held = { partitions: this.#held, generation: this.#heldIn, of: this.#heldOf };
      const metadata = introduction(this.#options.topic, listener.introduce(), this.#topic, held, this.#grownAt);
      const times = { sessionLimit: SESSION_LIMIT, rebalanceLimit: REBALANCE_LIMIT };
      this.#isJoining = true;
      const joined = await requests.join({ memberId, protocol: PROTOCOL, metadata, ...times }, stop);
      this.#name = { memberId: joined.memberId, generationId: joined.generationId };
      // What it goes on with after it was cut off may be others' by now.
      if (!this.#lease.isCutOff) this.#heldIn = joined.generationId;
      const assignments = joined.leader === joined.memberId
        ? assignmentsOf(this.#options.topic, joined, partitions)
        : [];
      const sentAt = readClocks();
      const division = divisionIn(await requests.sync(this.#name, PROTOCOL, assignments, stop), this.#group);
      this.#isJoining = false;
      this.#lease.renew(sentAt);
      const lost = this.#held.filter((partition) => !division.held.includes(partition));
      this.#given += division.held.filter((partition) => !this.#held.includes(partition)).length;
      this.#held = division.held;
      this.#heldIn = joined.generationId;
      this.#heldOf = division.partitions;
      this.#grownAt = division.grownAt;
      this.#isMoving = division.free.length > 0;
      const released = listener.divide(division);
      if (lost.length === 0) return;
      // The others get what was lost once this member has joined without it.
      await released;
      this.#mustJoin = true;
    } catch (error) {
      this.#mustJoin = true;
      if (!this.#mayJoinAfter(error, listener)) throw error;
      this.#isJoining = false;
    }
  }

  /**
   * True for the group's wish that this member joins. Where it is out, it drops all that it holds. If
   * it was cut off before, it may be that all were: a broker that stood still has thrown out the
   * whole group, and nobody else has anything. So it goes on, and says in which generation it held
   * what. Where others divided without it, theirs is newer, and counts.
   */
  #mayJoinAfter(error: unknown, listener: GroupListener): boolean {
    const refusal = refusalOf(error);
    if (refusal === "REBALANCE_IN_PROGRESS") return true;
    if (!OUT.has(refusal)) return false;
    // With an old generation it is still known: a new name would leave the old one behind, for which
    // the others would wait.
    this.#name = refusal === "ILLEGAL_GENERATION" ? { ...this.#name, generationId: -1 } : NO_NAME;
    if (this.#lease.isCutOff) {
      listener.goOn();
      return true;
    }
    this.#lease.end();
    this.#held = [];
    void listener.divide(null);
    return true;
  }

  /** Joins again where the topic has other partitions than the group knows. */
  async #lookAtTopic(requests: GroupRequests, stop: AbortSignal): Promise<void> {
    const { id, partitions } = await requests.identifyTopic(stop);
    if (id !== this.#topic?.id || partitions !== this.#topic.partitions) this.#mustJoin = true;
  }

  /** Throws what no waiting mends, and tells of any other error. */
  #consider(error: unknown, failures: number): void {
    const refusal = refusalOf(error) ?? "";
    const remedy = HOPELESS[refusal];
    // Whoever sends the metrics makes it, or says that it is missing.
    if (error instanceof MissingTopicError) return;
    if (error instanceof KafkaSetupError) throw error;
    if (remedy !== undefined) {
      throw new KafkaSetupError(`The group ${this.#group}: ${remedy} (${refusal})`, { cause: error });
    }
    if (javascriptErrors.isNotReady?.(error) && failures < EARLY_TRIES) return;
    this.#status.report(notInGroup(this.#group, javascriptErrors.reason(error)));
  }
}

/** What the brokers refuse for good, by its name, and what mends it. */
const HOPELESS: Readonly<Record<string, string>> = {
  GROUP_AUTHORIZATION_FAILED:
    "Kafka does not allow it: ask for the right to read this group, or leave out --group (CHECK_GROUP)",
  TOPIC_AUTHORIZATION_FAILED: "Kafka does not allow it: ask for the right to read and describe the topic",
  INCONSISTENT_GROUP_PROTOCOL: "another program has a group of this name: choose another --group (CHECK_GROUP)",
  INVALID_SESSION_TIMEOUT:
    `the brokers must allow sessions of ${SESSION_LIMIT} ms: set group.min.session.timeout.ms lower`,
};

/** What a member held last: in which generation of the group, and of how many partitions. */
interface Holding {
  readonly partitions: readonly number[];
  readonly generation: number;
  readonly of: number;
}

/** What a member says when it joins: who it is, and what it holds. */
function introduction(
  topic: string,
  { removed, ...peer }: GroupIntroduction,
  seen: { readonly id: string; readonly partitions: number },
  { partitions, generation, of }: Holding,
  grownAt: number,
): Buffer {
  const isEmpty = partitions.length === 0;
  return encodeConsumerProtocolSubscription({
    version: PROTOCOL_VERSION,
    topics: [topic],
    // The topic too: the group divides anew where a member sees another one.
    userData: JSON.stringify({ ...peer, removed: fitting(removed), seen, heldOf: isEmpty ? null : of, grownAt }),
    ownedPartitions: isEmpty ? [] : [{ topic, partitions: [...partitions] }],
    generationId: isEmpty ? -1 : generation,
  });
}

/**
 * The leader's say: who holds what, by Kafka's own rule, and what all of them must know alike. With
 * another number of partitions nearly every host is another member's. So nobody gets anything at
 * first: each ends what it has begun, and joins again with nothing.
 */
function assignmentsOf(topic: string, { memberId, members }: Joined, partitions: number) {
  const known = new Map(members.map(({ memberId, metadata }) => {
    const subscription = decodeConsumerProtocolSubscription(metadata);
    return [memberId, { memberId, ...subscription, metadata: subscription.userData ?? Buffer.alloc(0) }] as const;
  }));
  const told = [...known.values()].map(({ metadata }) => introductionIn(metadata));
  const isOther = told.some(({ heldOf }) => heldOf !== null && heldOf !== partitions);
  const topics = new Map([[topic, { partitionsCount: isOther ? 0 : partitions }]]);
  const divided = cooperativeStickyAssigner(
    memberId,
    known,
    new Set([topic]),
    { topics } as unknown as ClusterMetadata,
  );
  const peers = told.map(({ name, digest }) => ({ name, digest }));
  const held = new Set(
    divided.flatMap(({ assignments }) => [...assignments.values()].flatMap((one) => one.partitions)),
  );
  const free = Array.from({ length: partitions }, (_, partition) => partition).filter((one) => !held.has(one));
  const removed = fitting(new Set(told.flatMap(({ removed }) => removed)));
  // A member that comes later does not know it by itself.
  const grownAt = isOther ? Date.now() : Math.max(0, ...told.map(({ grownAt }) => grownAt));
  const userData = JSON.stringify({ partitions, members: peers, free, removed, grownAt });
  return divided.map(({ memberId, assignments }) => {
    const assignedPartitions = [...assignments.values()];
    return {
      memberId,
      assignment: encodeConsumerProtocolAssignment({ version: PROTOCOL_VERSION, assignedPartitions, userData }),
    };
  });
}

/** What a member has said of itself. */
interface Introduction extends GroupIntroduction {
  readonly heldOf: number | null;
  readonly grownAt: number;
}

function introductionIn(userData: Buffer): Introduction {
  const said = JSON.parse(userData.toString() || "{}") as Partial<Introduction>;
  const { name, digest, removed = [], heldOf = null, grownAt = 0 } = said;
  return { name: String(name), digest: String(digest), removed, heldOf, grownAt };
}

/** The first of the keys, as many as a group may keep of each member. */
function fitting(keys: Iterable<string>): readonly string[] {
  let left = REMOVED_LIMIT;
  return [...keys].filter((key) => (left -= key.length) >= 0);
}

function divisionIn(assignment: Buffer, group: string): GroupDivision {
  const { assignedPartitions, userData } = decodeConsumerProtocolAssignment(assignment);
  const said = JSON.parse(userData?.toString() || "{}") as Partial<Omit<GroupDivision, "held">>;
  const { partitions, members, free = [], removed = [], grownAt = 0 } = said;
  if (partitions === undefined || members === undefined) {
    throw new KafkaSetupError(
      `The group ${group} is led by another program: choose another --group (CHECK_GROUP)`,
    );
  }
  const held = assignedPartitions.flatMap(({ partitions }) => partitions);
  return { held, partitions, members, free, removed, grownAt };
}
