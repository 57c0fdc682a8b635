import { isOutdated, newTopicSnapshot, note, OutdatedAssignment, type TopicSnapshot } from "../topic_snapshot.ts";
import { asFetchSetupError, fetchingClient, fetchReason, type LogConsumer, TopicLog } from "../javascript/client.ts";
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
import { bounds, type Described, type Find, type Group, LATEST, readings, startOffsets } from "../readings.ts";
import { ANSWER_LIMIT, closedInTime, HEARTBEAT_EVERY, SESSION_LIMIT } from "../client_settings.ts";
import { notGiving, type StatusReporter } from "../status_reporter.ts";
import { AdminQueue } from "./admin_queue.ts";
import { Commits } from "./commits.ts";
import { asSetupError, connectionSettings, identifyTopic, isFatal, promised, reason } from "./connection.ts";
import type {
  Librdkafka,
  NativeAdmin,
  NativeConsumer,
  NativeError,
  NativePartition,
  NativeProducer,
} from "./library.ts";
import { closeProducer } from "./producer.ts";
import { PollLoop, PULL_WAIT } from "./poll_loop.ts";
import type { Edition } from "./renewal.ts";

/** The longest there is: a consumer that waits for its database is no dead one. */
const LONGEST_WORK = 86_400_000;
/**
 * The code of the callback on a change of the share, and the error of a client whose picture of the
 * topic is an old one.
 */
const ASSIGN = -175;
const UNKNOWN_PARTITION = -190;

/** The library's client, what it holds of the group, and the one way to hear of that. */
interface Member {
  readonly client: NativeConsumer;
  /** Apart, so that a leader that is away, and does not tell where its logs end, holds up nothing else. */
  readonly topics: AdminQueue;
  readonly offsets: AdminQueue;
  readonly membership: Membership;
  readonly snapshot: TopicSnapshot;
  readonly pollLoop: PollLoop;
  /** Asks the brokers for messages, and is no member. */
  readonly fetching: LogConsumer;
  readonly commits: Commits;
  /** Aborted when it leaves. */
  readonly left: AbortController;
}

/** Where clients come from, connected. Both end when `signal` aborts. */
export interface ConsumerClients {
  /** A new one, made by `newConsumer`. */
  connect(listeners: Listeners, signal: AbortSignal): Promise<NativeConsumer>;
  /** One that only shows that brokers take new certificates, whenever those of `edition` are outdated. */
  renewals(edition: Edition, signal: AbortSignal): AsyncIterable<NativeProducer>;
}

interface Share extends Described {
  readonly member: Member;
  /** Partitions of the whole topic. */
  readonly partitions: number;
}

/** A member of the group with librdkafka, which keeps the membership alive on a thread of its own. */
export class LibrdkafkaConsumer implements KafkaConsumer, Group<Share> {
  readonly #options: ConsumerOptions;
  readonly #status: StatusReporter;
  readonly #library: Librdkafka;
  readonly #clients: ConsumerClients;
  readonly #log: TopicLog;
  #member: Member | undefined;

  constructor(library: Librdkafka, options: ConsumerOptions, status: StatusReporter, clients: ConsumerClients) {
    this.#library = library;
    this.#options = options;
    this.#status = status;
    this.#clients = clients;
    this.#log = new TopicLog(options);
  }

  readings(position: Position, signal: AbortSignal): AsyncGenerator<ConsumerSession, void> {
    return readings(this, position, this.#status, signal);
  }

  async describe(signal: AbortSignal): Promise<Share> {
    signal.throwIfAborted();
    const member = await this.#joined(signal);
    const { partitions, changed } = await member.pollLoop.bring(member.membership.share(signal));
    const { topic } = this.#options;
    const now = await identifyTopic(member.topics, topic);
    if (changed.aborted) return await this.describe(signal);
    if (isOutdated(partitions, member.snapshot, now)) {
      this.#outdate(member);
      return await this.describe(signal);
    }
    note(member.snapshot, now);
    const leaderless = partitions.filter((partition) => now.leaderless.includes(partition));
    const led = partitions.filter((partition) => !leaderless.includes(partition));
    const find: Find = (partitions, time) => this.#find(member, partitions, time);
    const assigned = await bounds(led, find).catch((error: NativeError) => {
      // The topic has them: this client would say so again and again.
      if (error.code === UNKNOWN_PARTITION) member.membership.fail(error);
      throw error;
    });
    // The bounds were asked for by the topic's name: they are of this topic only if it is still the same one.
    const isSame = (await identifyTopic(member.topics, topic)).id === now.id;
    if (changed.aborted || !isSame) return await this.describe(signal);
    const assignment = { topic, topicId: now.id, partitions: assigned, ...this.#firstStarts(member, now, find) };
    return { assignment, changed, leaderless, member, partitions: now.partitions };
  }

  /** Where all partitions of the topic begin that somebody leads, where that is not their first message. */
  #firstStarts(member: Member, now: Identified, find: Find): Pick<Assignment, "firstStarts"> {
    const { start, topic } = this.#options;
    if (start === "earliest") return {};
    const all = Array.from({ length: now.partitions }, (_, n) => n).filter((n) => !now.leaderless.includes(n));
    const firstStarts = async () => {
      const starts = await startOffsets(start, all, find);
      if ((await identifyTopic(member.topics, topic)).id !== now.id) {
        throw new OutdatedAssignment(`The topic ${topic} has changed`);
      }
      return starts;
    };
    return { firstStarts };
  }

  /**
   * Not pulled from the library: that unpacks all it fetches, whatever it comes to. A kilobyte may be gigabytes, and
   * nothing bounds that but the memory of the process.
   */
  async *messages(
    share: Share,
    positions: Positions,
    stop: AbortSignal,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    const { member } = share;
    try {
      yield* this.#log.messages(member.fetching, share, positions, stop);
    } catch (error) {
      if (error instanceof OutdatedAssignment) return this.#outdate(member);
      throw asFetchSetupError(error, this.#options.topic) ?? new Error(fetchReason(error), { cause: error });
    }
  }

  async logEnds({ assignment, member }: Share): Promise<Positions> {
    const partitions = assignment.partitions.map(({ partition }) => partition);
    return partitions.length === 0 ? new Map() : await this.#find(member, partitions, LATEST);
  }

  isHole({ assignment }: Share, partition: number, from: number, to: number): Promise<boolean> {
    return this.#log.isHole(assignment.topicId, partition, from, to);
  }

  cuts({ assignment, member }: Share, positions: Positions): Promise<Positions> {
    return this.#log.cuts(member.fetching, assignment.topicId, positions);
  }

  async hasNewLeader({ member, leaderless }: Share): Promise<boolean> {
    const now = await identifyTopic(member.topics, this.#options.topic);
    return leaderless.some((partition) => !now.leaderless.includes(partition));
  }

  /** Ends a membership: the group then shares out anew, and the next client does not ask for a topic that is gone. */
  #outdate({ membership }: Member): void {
    membership.fail(new OutdatedAssignment(`The topic ${this.#options.topic} has changed`));
  }

  asSetupError(error: unknown): KafkaSetupError | null {
    return asSetupError(error, this.#options.topic);
  }

  reason(error: unknown): string {
    return reason(error);
  }

  async #joined(signal: AbortSignal): Promise<Member> {
    if (this.#member?.membership.failed) await this.#leave(false);
    return this.#member ??= await this.#join(signal);
  }

  async #join(signal: AbortSignal): Promise<Member> {
    const membership = new Membership();
    const snapshot = newTopicSnapshot();
    const edition = this.#options.tls?.replaced;
    const commits = new Commits();
    const client = await this.#clients.connect({
      onRebalance: (error, partitions) => onRebalance({ client, membership, snapshot }, error, partitions),
      onCommit: commits.answered,
    }, signal);
    client.on("event.error", (error) => this.#hear(error, membership));
    client.subscribe([this.#options.topic]);
    const pollLoop = new PollLoop(client, (error) => this.#hear(error, membership));
    const left = new AbortController();
    void this.#renew(membership, edition, left.signal);
    const adminQueue = () => new AdminQueue(this.#library.AdminClient.createFrom(client));
    const fetching = fetchingClient(this.#options);
    return {
      fetching,
      client,
      membership,
      snapshot,
      pollLoop,
      commits,
      left,
      topics: adminQueue(),
      offsets: adminQueue(),
    };
  }

  /**
   * Ends a membership whose client has outdated certificates, once brokers take the new ones: the
   * next client has those.
   */
  async #renew(membership: Membership, edition: Edition, left: AbortSignal): Promise<void> {
    for await (const probe of this.#clients.renewals(edition, left)) {
      membership.fail(new Error("the certificates were replaced"));
      await closeProducer(probe);
      return;
    }
  }

  #hear(error: NativeError, membership: Membership): void {
    const setup = this.asSetupError(error);
    if (setup !== null || isFatal(error)) membership.fail(setup ?? error);
    else this.#status.report(notGiving(reason(error)));
  }

  /**
   * Leaves the group. `isLast`: the process is about to end, and a client that is not closed in
   * time must not be: the library would wait for callbacks that nobody runs any more, and the
   * process for the library.
   */
  async #leave(isLast: boolean): Promise<void> {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) return;
    member.membership.fail(new Error("The consumer was closed"));
    member.left.abort();
    void closedInTime(member.fetching.close(true));
    // Its troubles are nobody's any more, and it may have some for as long as the process runs.
    for (const event of ["event.error", "event.log"] as const) member.client.removeAllListeners(event);
    // Not before every call has come back; whoever leaves does not wait for it.
    const quiet = Promise.all([member.pollLoop.stop(member.commits), member.topics.close(), member.offsets.close()]);
    if (await closedInTime(quiet)) await closeConsumer(member.client);
    else if (!isLast) void quiet.then(() => closeConsumer(member.client));
  }

  /** By partition: the first offset at a time or later, below 0 if there is none. */
  async #find(
    { offsets }: Pick<Member, "offsets">,
    partitions: readonly number[],
    time: number,
  ): Promise<Positions> {
    const { topic } = this.#options;
    const questions = partitions.map((partition) => ({ topic, partition, offset: new this.#library.OffsetSpec(time) }));
    const options = { timeout: ANSWER_LIMIT, isolationLevel: ALL };
    const found = await promised<Offsets>((done) => offsets.listOffsets(questions as never, options, done));
    return new Map(found.map(({ partition, offset, error }) => {
      if (error) throw error;
      return [partition, offset];
    }));
  }

  // Deliberately not `async` in its work: the library sends it in the background.
  commit(positions: Positions): Promise<void> {
    const { topic } = this.#options;
    const offsets = Array.from(positions, ([partition, offset]) => {
      const leaderEpoch = this.#log.epochBefore(partition, offset);
      // For a member that goes on here: what the broker loses meanwhile shows then.
      return { topic, partition, offset, ...leaderEpoch >= 0 && { leaderEpoch } };
    });
    if (offsets.length > 0) this.#member?.commits.send(this.#member.client, offsets);
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#leave(true), this.#log[Symbol.asyncDispose]()]);
  }
}

type Identified = Awaited<ReturnType<typeof identifyTopic>>;

/** The isolation level of the Kafka protocol with the messages of transactions that are still open. */
const ALL = 0;

type Offsets = Parameters<Parameters<NativeAdmin["listOffsets"]>[2]>[1];

/** Called on a change of the share, with why and with the partitions given or taken. */
export type RebalanceListener = (
  error: { readonly code: number } | undefined,
  partitions: readonly NativePartition[],
) => void;

/** What a client tells; it is served by pulls only. */
export interface Listeners {
  readonly onRebalance: RebalanceListener;
  /** A commit was answered, or has failed. */
  readonly onCommit: () => void;
}

/** A client that is a member of the group and reads nothing. Not yet connected. */
export function newConsumer(
  library: Librdkafka,
  options: ConsumerOptions,
  { onRebalance, onCommit }: Listeners,
): NativeConsumer {
  const client = new library.KafkaConsumer({
    ...connectionSettings(options),
    "group.id": options.group,
    "enable.auto.commit": false,
    "enable.auto.offset.store": false,
    // Known to the other client too: members with either can share a group.
    "partition.assignment.strategy": "roundrobin",
    "session.timeout.ms": SESSION_LIMIT,
    "heartbeat.interval.ms": HEARTBEAT_EVERY,
    "max.poll.interval.ms": LONGEST_WORK,
    "rebalance_cb": onRebalance,
    "offset_commit_cb": onCommit,
  });
  client.setDefaultConsumeTimeout(PULL_WAIT);
  return client;
}

/** Leaves the group and ends a client. */
export async function closeConsumer(client: NativeConsumer): Promise<void> {
  if (!client.isConnected()) return;
  await closedInTime(new Promise((closed) => client.disconnect(closed)));
}

/** Answers the group at once, with nothing to read: looking up the marks may take long, and the others would wait. */
function onRebalance(
  { client, membership, snapshot }: Pick<Member, "client" | "membership" | "snapshot">,
  error: { readonly code: number } | undefined,
  partitions: readonly NativePartition[],
): void {
  try {
    membership.lose();
    if (error?.code === ASSIGN) {
      client.assign([]);
      // Not its id: this client may go on asking for the topic that it knew.
      snapshot.partitions = null;
      membership.gain(partitions.map(({ partition }) => partition));
    } else client.unassign();
  } catch (failure) {
    // Must not throw: the add-on would call again at once, for ever.
    membership.fail(failure);
  }
}
