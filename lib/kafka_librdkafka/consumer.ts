import {
  type AssignedPartition,
  type ConsumerOptions,
  type IncomingMessage,
  type KafkaConsumer,
  type KafkaSetupError,
  KEPT_BYTES,
  type Position,
  type Positions,
  type Reading,
} from "../kafka.ts";
import {
  asSetupError,
  connectionSettings,
  describeTopic,
  identifyTopic,
  isFatal,
  promised,
  reason,
} from "./connection.ts";
import { type Basis, isOutdated, newBasis, note, OutdatedShare } from "../kafka/basis.ts";
import { Membership } from "../kafka/membership.ts";
import { type Described, exactly, type Group, readings, startOffset, unknownLog } from "../kafka/readings.ts";
import {
  ANSWER_LIMIT,
  CLOSE_LIMIT,
  FETCH_BYTES,
  HEARTBEAT_EVERY,
  PARTITION_BYTES,
  SESSION_LIMIT,
  type Troubles,
  within,
} from "../kafka/setup.ts";
import { type Stall, StallWatch } from "../kafka/stall.ts";
import { closeProducer } from "./producer.ts";
import { Asker } from "./asker.ts";
import { Commits } from "./commits.ts";
import { PULL_COUNT, PULL_WAIT, Puller } from "./puller.ts";
import { vouched } from "./vouched.ts";
import { unlessAborted } from "../unless_aborted.ts";
import type { Edition } from "./renewal.ts";
import type {
  Librdkafka,
  NativeAdmin,
  NativeConsumer,
  NativeError,
  NativeMessage,
  NativePartition,
  NativeProducer,
} from "./library.ts";

/** The longest there is: a consumer that waits for its database is no dead one. */
const LONGEST_WORK = 86_400_000;
/** The code of the callback on a change of the share, and the error of a client whose picture of the topic is an old one. */
const ASSIGN = -175;
const UNKNOWN_PARTITION = -190;

/** The library's client, what it holds of the group, and the one way to pull from it. */
interface Member {
  readonly client: NativeConsumer;
  /** Apart, so that a leader that is away, and does not tell where its logs end, holds up nothing else. */
  readonly topics: Asker;
  readonly offsets: Asker;
  readonly membership: Membership;
  readonly basis: Basis;
  readonly puller: Puller;
  readonly commits: Commits;
  /** Aborted when it leaves. */
  readonly left: AbortController;
}

/** Where clients come from, connected. Both end when `signal` aborts. */
export interface Clients {
  /** A new one, made by `newConsumer`. */
  connect(listeners: Listeners, signal: AbortSignal): Promise<NativeConsumer>;
  /** One that only shows that brokers take new certificates, whenever those of `edition` are outdated. */
  renewals(edition: Edition, signal: AbortSignal): AsyncIterable<NativeProducer>;
}

interface Share extends Described {
  readonly member: Member;
}

/** Reads with librdkafka: it keeps the membership alive on a thread of its own, and messages are pulled from it. */
export class LibrdkafkaConsumer implements KafkaConsumer, Group<Share> {
  readonly #options: ConsumerOptions;
  readonly #troubles: Troubles;
  readonly #library: Librdkafka;
  readonly #clients: Clients;
  readonly #watch = new StallWatch();
  #member: Member | undefined;

  constructor(library: Librdkafka, options: ConsumerOptions, troubles: Troubles, clients: Clients) {
    this.#library = library;
    this.#options = options;
    this.#troubles = troubles;
    this.#clients = clients;
  }

  readings(position: Position, signal: AbortSignal): AsyncGenerator<Reading, void> {
    return readings(this, position, this.#troubles, signal);
  }

  async describe(signal: AbortSignal): Promise<Share> {
    signal.throwIfAborted();
    const member = await this.#joined(signal);
    const { partitions, changed } = await member.puller.bring(member.membership.share(signal));
    const { topic } = this.#options;
    const now = await describeTopic(member.topics, topic);
    if (changed.aborted) return await this.describe(signal);
    if (isOutdated(partitions, member.basis, now)) {
      this.#outdate(member);
      return await this.describe(signal);
    }
    note(member.basis, now);
    const assigned = await this.#lookAt(member, partitions);
    if (changed.aborted) return await this.describe(signal);
    return { assignment: { topic, topicId: now.id, partitions: assigned }, changed, member };
  }

  messages(share: Share, positions: Positions, stop: AbortSignal): AsyncGenerator<readonly IncomingMessage[], void> {
    // The library goes on at the same offsets in a new topic of this name, where they are those of other messages. Only
    // what the topic is *after* they came tells whose they are.
    return vouched(this.#pulled(share, positions, stop), async () => {
      try {
        if (await unlessAborted(this.#isOutdated(share.member), stop)) this.#outdate(share.member);
      } catch (error) {
        if (!stop.aborted) throw error;
      }
      return !stop.aborted;
    });
  }

  async *#pulled(
    { assignment, member }: Share,
    positions: Positions,
    stop: AbortSignal,
  ): AsyncGenerator<readonly IncomingMessage[], void> {
    const next = exactly(assignment, positions);
    await member.puller.open(
      Array.from(next, ([partition, offset]) => ({ topic: assignment.topic, partition, offset })),
      stop,
    );
    this.#watch.begin();
    let stalled: Stall | undefined;
    let isLooking = false;
    while (!stop.aborted) {
      const pulled = await member.puller.pull(stop);
      // It may be from before the group took the partitions away.
      if (stop.aborted) return;
      const messages = pulled.filter(({ partition, offset }) => {
        const isNew = offset >= (next.get(partition) ?? Infinity);
        if (isNew) next.set(partition, offset + 1);
        return isNew;
      });
      if (messages.length > 0) yield messages.map(incoming);
      if (stalled !== undefined) throw stopped(stalled, next, member);
      if (pulled.length === PULL_COUNT || next.size === 0 || isLooking || !this.#watch.isDue()) continue;
      isLooking = true;
      // Deliberately not awaited: a broker that is away must not hold up what the others give.
      Promise.allSettled([
        this.#find(member, [...next.keys()], LATEST, COMMITTED)
          .then((ends) => stop.aborted || (stalled = this.#watch.stalled(next, ends))),
        this.#isOutdated(member).then((isOutdated) => isOutdated && this.#outdate(member)),
      ]).then(() => isLooking = false);
    }
  }

  async logEnds({ assignment, member }: Share): Promise<Positions> {
    const partitions = assignment.partitions.map(({ partition }) => partition);
    return partitions.length === 0 ? new Map() : await this.#find(member, partitions, LATEST);
  }

  /** True where the topic is not what it was when this member got its share. */
  async #isOutdated({ topics, basis }: Member): Promise<boolean> {
    return isOutdated([], basis, await identifyTopic(topics, this.#options.topic));
  }

  /** Ends a membership: the group then shares out anew, and the next client does not ask for a topic that is gone. */
  #outdate({ membership }: Member): void {
    membership.fail(new OutdatedShare(`The topic ${this.#options.topic} has changed`));
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
    const basis = newBasis();
    const news: { puller?: Puller } = {};
    const edition = this.#options.tls?.replaced;
    const commits = new Commits();
    const client = await this.#clients.connect({
      onRebalance: (error, partitions) => onRebalance({ client, membership, basis, ...news }, error, partitions),
      onCommit: commits.answered,
    }, signal);
    client.on("event.error", (error) => this.#hear(error, membership));
    client.subscribe([this.#options.topic]);
    const puller = news.puller = new Puller(client);
    const left = new AbortController();
    void this.#renew(membership, edition, left.signal);
    const asker = () => new Asker(this.#library.AdminClient.createFrom(client));
    return { client, membership, basis, puller, commits, left, topics: asker(), offsets: asker() };
  }

  /** Ends a membership whose client has outdated certificates, once brokers take the new ones: the next client has those. */
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
    else this.#troubles.report(`Kafka gives no messages (${reason(error)}): trying again`);
  }

  /**
   * Leaves the group. `isLast`: the process is about to end, and a client that is not closed in time must not be: the library
   * would wait for callbacks that nobody runs any more, and the process for the library.
   */
  async #leave(isLast: boolean): Promise<void> {
    const member = this.#member;
    this.#member = undefined;
    if (member === undefined) return;
    member.membership.fail(new Error("The consumer was closed"));
    member.left.abort();
    // Its troubles are nobody's any more, and it may have some for as long as the process runs.
    for (const event of ["event.error", "event.log"] as const) member.client.removeAllListeners(event);
    // Not before every call has come back; whoever leaves does not wait for it.
    const quiet = Promise.all([member.puller.stop(member.commits), member.topics.close(), member.offsets.close()]);
    if (await within(CLOSE_LIMIT, quiet)) await closeConsumer(member.client);
    else if (!isLast) void quiet.then(() => closeConsumer(member.client));
  }

  async #lookAt(member: Member, partitions: readonly number[]): Promise<AssignedPartition[]> {
    if (partitions.length === 0) return [];
    const { start } = this.#options;
    const [starts, ends, times] = await Promise.all([
      this.#find(member, partitions, EARLIEST),
      this.#find(member, partitions, LATEST),
      typeof start === "object" ? this.#find(member, partitions, start.time) : new Map<number, number>(),
    ]).catch((error: NativeError) => {
      // The topic has them: this client would say so again and again.
      if (error.code === UNKNOWN_PARTITION) member.membership.fail(error);
      throw error;
    });
    return partitions.map((partition) => {
      const [logStart, logEnd] = [starts.get(partition), ends.get(partition)];
      if (logStart === undefined || logEnd === undefined) throw unknownLog(partition);
      return { partition, logStart, logEnd, start: startOffset(start, logStart, logEnd, times.get(partition) ?? -1) };
    });
  }

  /** By partition: the first offset at a time or later, below 0 if there is none. */
  async #find(
    { offsets }: Pick<Member, "offsets">,
    partitions: readonly number[],
    time: number,
    isolationLevel = ALL,
  ): Promise<ReadonlyMap<number, number>> {
    const { topic } = this.#options;
    const questions = partitions.map((partition) => ({ topic, partition, offset: new this.#library.OffsetSpec(time) }));
    const options = { timeout: ANSWER_LIMIT, isolationLevel };
    const found = await promised<Offsets>((done) => offsets.listOffsets(questions as never, options, done));
    return new Map(found.map(({ partition, offset, error }) => {
      if (error) throw error;
      return [partition, offset];
    }));
  }

  // Deliberately not `async` in its work: the library sends it in the background.
  commit(positions: Positions): Promise<void> {
    const { topic } = this.#options;
    const offsets = Array.from(positions, ([partition, offset]) => ({ topic, partition, offset }));
    if (offsets.length > 0) this.#member?.commits.send(this.#member.client, offsets);
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave(true);
  }
}

/** Special times of the Kafka protocol. */
const EARLIEST = -2;
const LATEST = -1;

/** Isolation levels of the Kafka protocol: with the messages of transactions that are still open, and without. */
const ALL = 0;
const COMMITTED = 1;

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

/** A client that reads only where it is told to. Not yet connected. */
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
    // Never skip or repeat by itself: the database says where to go on.
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    // Known to the other client too: members with either can share a group.
    "partition.assignment.strategy": "roundrobin",
    "session.timeout.ms": SESSION_LIMIT,
    "heartbeat.interval.ms": HEARTBEAT_EVERY,
    "max.poll.interval.ms": LONGEST_WORK,
    // Short: a question to which there is no answer yet holds up all others, such as where the log ends.
    "fetch.wait.max.ms": 100,
    "fetch.max.bytes": FETCH_BYTES,
    "max.partition.fetch.bytes": PARTITION_BYTES,
    "queued.max.messages.kbytes": 2 * FETCH_BYTES / 1024,
    "queued.min.messages": 10_000,
    // Else it would rest for a second whenever the queue is full, and a reader that is behind would find it empty.
    "fetch.queue.backoff.ms": 10,
    "rebalance_cb": onRebalance,
    "offset_commit_cb": onCommit,
  });
  client.setDefaultConsumeTimeout(PULL_WAIT);
  // Else it would wait anew for each message, and a slow trickle would come seconds late.
  client.setDefaultIsTimeoutOnlyForFirstMessage(true);
  return client;
}

/** Leaves the group and ends a client. */
export async function closeConsumer(client: NativeConsumer): Promise<void> {
  if (!client.isConnected()) return;
  await within(CLOSE_LIMIT, new Promise((closed) => client.disconnect(closed)));
}

/** An error that ends the reading; where a new one did not help before, a new client may. */
function stopped({ partition, isAgain }: Stall, next: ReadonlyMap<number, number>, { membership }: Member): Error {
  const error = new Error(`Partition ${partition} has stopped at offset ${next.get(partition)}`);
  if (isAgain) membership.fail(error);
  return error;
}

/** Answers the group at once, with nothing to read yet: looking up the marks may take long, and the others would wait. */
function onRebalance(
  { client, membership, basis, puller }:
    & Pick<Member, "client" | "membership" | "basis">
    & Partial<Pick<Member, "puller">>,
  error: { readonly code: number } | undefined,
  partitions: readonly NativePartition[],
): void {
  try {
    membership.lose();
    puller?.forget();
    if (error?.code === ASSIGN) {
      client.assign([]);
      // Not its id: this client may go on asking for the topic that it knew.
      basis.partitions = null;
      membership.gain(partitions.map(({ partition }) => partition));
    } else client.unassign();
  } catch (failure) {
    // Must not throw: the add-on would call again at once, for ever.
    membership.fail(failure);
  }
}

/** Of long keys and values only the beginnings, in memory of their own: what the library gave is free then. */
function incoming({ partition, offset, key, value, timestamp }: NativeMessage): IncomingMessage {
  const bytes = typeof key === "string" ? Buffer.from(key) : key ?? null;
  const message = { partition, offset, key: kept(bytes), value: kept(value), timestamp: timestamp ?? 0 };
  const [keyLength, valueLength] = [bytes?.length ?? 0, value?.length ?? 0];
  if (keyLength <= KEPT_BYTES && valueLength <= KEPT_BYTES) return message;
  return { ...message, ...keyLength > KEPT_BYTES && { keyLength }, ...valueLength > KEPT_BYTES && { valueLength } };
}

function kept(bytes: Uint8Array | null): Uint8Array | null {
  return bytes !== null && bytes.length > KEPT_BYTES ? Uint8Array.prototype.slice.call(bytes, 0, KEPT_BYTES) : bytes;
}
