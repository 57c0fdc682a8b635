import { closedInTime } from "../client_settings.ts";
import { type GroupMember, type HeldPartitions, Membership } from "../consumer_member.ts";
import { fetchingClient, type LogConsumer } from "../javascript/log_consumer.ts";
import type { ConsumerOptions, LogPositions, Positions } from "../kafka.ts";
import { explained } from "../setup_errors.ts";
import { notGiving, type StatusReporter } from "../status_reporter.ts";
import type { TopicDescription } from "../topic.ts";
import { AdminQueue } from "./admin_queue.ts";
import { isFatal, librdkafkaErrors } from "./errors.ts";
import { whenBrokersAreForgotten } from "./forgotten_brokers.ts";
import type { Librdkafka, NativeConsumer, NativeError, NativePartition, NativeProducer } from "./library.ts";
import { closeConsumer, closeProducer, type Listeners } from "./native_clients.ts";
import { Commits, PollLoop } from "./poll_loop.ts";
import type { Edition } from "./renewal.ts";

/** The code of the rebalance callback for partitions that the group gives. */
const ASSIGN = -175;

/** Where connected clients come from. Both end when `signal` aborts. */
export interface ConsumerClients {
  /** A new one, made by `newConsumer`. */
  connect(listeners: Listeners, signal: AbortSignal): Promise<NativeConsumer>;
  /**
   * One that only shows that brokers take new certificates, whenever those of `edition` are
   * outdated.
   */
  renewals(edition: Edition, signal: AbortSignal): AsyncIterable<NativeProducer>;
}

/** What a member is made with. */
export interface MemberParts {
  readonly library: Librdkafka;
  readonly options: ConsumerOptions;
  readonly status: StatusReporter;
  readonly clients: ConsumerClients;
}

/**
 * A member of the group with librdkafka, which keeps the membership alive on a thread of its own.
 */
export class LibrdkafkaMember implements GroupMember {
  readonly membership: Membership;
  readonly fetching: LogConsumer;
  readonly #topic: string;
  readonly #status: StatusReporter;
  readonly #client: NativeConsumer;
  readonly #commits: Commits;
  readonly #pollLoop: PollLoop;
  /**
   * Two queues: a leader that is away, and does not tell where its logs end, must hold up nothing
   * else.
   */
  readonly #topics: AdminQueue;
  readonly #offsets: AdminQueue;
  readonly #left = new AbortController();
  readonly #renewal: Promise<void>;

  static async join(parts: MemberParts, signal: AbortSignal): Promise<LibrdkafkaMember> {
    const { options, clients } = parts;
    const membership = new Membership();
    const commits = new Commits();
    // Taken before the client is made: it is that of the client's certificates.
    const edition = options.tls?.replaced;
    try {
      const client = await clients.connect({
        onRebalance: (error, partitions) =>
          onRebalance({ client, membership, topic: options.topic }, error, partitions),
        onCommit: commits.answered,
      }, signal);
      return new LibrdkafkaMember(parts, { client, membership, commits, edition });
    } catch (error) {
      throw explained(error, options.topic, librdkafkaErrors);
    }
  }

  private constructor(
    { library, options, status, clients }: MemberParts,
    { client, membership, commits, edition }: {
      readonly client: NativeConsumer;
      readonly membership: Membership;
      readonly commits: Commits;
      readonly edition: Edition;
    },
  ) {
    this.membership = membership;
    this.#topic = options.topic;
    this.#status = status;
    this.#client = client;
    this.#commits = commits;
    client.on("event.error", (error) => this.#hear(error));
    whenBrokersAreForgotten(client, (reason) => this.membership.fail(reason));
    client.subscribe([options.topic]);
    this.#pollLoop = new PollLoop(client, (error) => this.#hear(error));
    this.#topics = new AdminQueue(library, client, options.topic);
    this.#offsets = new AdminQueue(library, client, options.topic);
    this.fetching = fetchingClient(options);
    this.#renewal = this.#renew(clients.renewals(edition, this.#left.signal));
  }

  held(signal: AbortSignal): Promise<HeldPartitions> {
    return this.#pollLoop.bring(this.membership.held(signal));
  }

  identifyTopic(): Promise<TopicDescription> {
    return this.#topics.identifyTopic();
  }

  findOffsets(partitions: readonly number[], time: number): Promise<Positions> {
    return this.#offsets.findOffsets(partitions, time);
  }

  // Deliberately not `async` in its work: the library sends it in the background.
  commit(positions: LogPositions): Promise<void> {
    const topic = this.#topic;
    const offsets = Array.from(positions, ([partition, { offset, epoch }]) => {
      return { topic, partition, offset, ...epoch !== null && { leaderEpoch: epoch } };
    });
    this.#commits.send(this.#client, offsets);
    return Promise.resolve();
  }

  /**
   * Where the process is about to end, a client must not be closed that was not quiet in time: the
   * library would wait for callbacks that nobody runs any more, and the process for the library.
   */
  async leave(isLast: boolean): Promise<void> {
    this.#left.abort();
    void closedInTime(this.fetching.close(true));
    // Its troubles are nobody's any more, and it may have some for as long as the process runs.
    for (const event of ["event.error", "event.log", "event.stats"] as const) this.#client.removeAllListeners(event);
    // Not before every call has come back; whoever leaves does not wait for it.
    const quiet = Promise.all([this.#pollLoop.stop(this.#commits), this.#topics.close(), this.#offsets.close()]);
    const isQuiet = await closedInTime(quiet);
    if (isQuiet) await closeConsumer(this.#client);
    else if (!isLast) void quiet.then(() => closeConsumer(this.#client));
    // No client is left: a thread of one may end the process by a signal, see `connected`.
    await this.#renewal;
  }

  /** Ends the membership once brokers take new certificates: the next client has those. */
  async #renew(renewals: AsyncIterable<NativeProducer>): Promise<void> {
    for await (const probe of renewals) {
      this.membership.fail(new Error("the certificates were replaced"));
      await closeProducer(probe);
      return;
    }
  }

  #hear(error: NativeError): void {
    const { setupError, reason } = librdkafkaErrors;
    if (setupError(error, this.#topic) === null && !isFatal(error)) this.#status.report(notGiving(reason(error)));
    else this.membership.fail(explained(error, this.#topic, librdkafkaErrors));
  }
}

/**
 * Answers the group at once, with nothing to read: looking up the marks may take long, and the
 * others would wait.
 */
function onRebalance(
  { client, membership, topic }: {
    readonly client: NativeConsumer;
    readonly membership: Membership;
    readonly topic: string;
  },
  error: { readonly code: number } | undefined,
  partitions: readonly NativePartition[],
): void {
  try {
    membership.lose();
    if (error?.code === ASSIGN) {
      client.assign([]);
      // Forgets the number of partitions, but keeps the id, unlike javascript/member.ts. Where the
      // topic was made again, librdkafka may go on asking for the earlier one. Only the id that was
      // seen first shows that: the membership then ends, and a new client begins
      // (`Membership.isOutdated`).
      membership.snapshot.partitions = null;
      membership.gain(partitions.map(({ partition }) => partition));
    } else client.unassign();
  } catch (failure) {
    // Must not throw: the add-on would call again at once, for ever.
    membership.fail(explained(failure, topic, librdkafkaErrors));
  }
}
