import { addAbortListener } from "node:events";
import type { ClusterMetadata, Consumer } from "@platformatic/kafka";
import { Queue } from "../../async/queue.ts";
import { unlessAborted } from "../../async/waits.ts";
import type { DescribedAssignment } from "../consumer_assignment.ts";
import { OutdatedAssignment } from "../consumer_member.ts";
import {
  type Assignment,
  type IncomingMessage,
  type KafkaOptions,
  KEPT_BYTES,
  type LogCut,
  type LogPosition,
  type LogPositions,
} from "../kafka.ts";
import { exactly } from "../offsets.ts";
import { CLIENT_ID } from "../client_settings.ts";
import { topicIdHex } from "../topic.ts";
import { judge, type JudgedBatch } from "./transactions.ts";
import { connectionOptions } from "./connection.ts";
import { FETCH_BYTES, fetchFrom } from "./log_consumer.ts";
import { type FetchAnswer, type PartitionAnswer, RawFetchConnections } from "./raw_fetch.ts";
import { type BatchMessage, bytesInMemory, type RecordBatch } from "./record_batches.ts";

/** Milliseconds that a broker holds a question when it has no new messages. */
const LONGEST_POLL = 500;
/**
 * An answer may hold many thousand messages: decoded in one go they would keep everything else
 * waiting.
 */
const MESSAGES_AT_ONCE = 1000;
/** The same for long messages. */
const BYTES_AT_ONCE = KEPT_BYTES;
/** The isolation level without messages that were never committed: Kafka's protocol. */
const READ_COMMITTED = 1;
/** The error code of that name: Kafka's protocol. */
const OFFSET_OUT_OF_RANGE = 1;

/** An answer of one broker, or why there is none. */
type Arrival = { readonly node: number; readonly response: FetchAnswer } | { readonly error: unknown };

type Leader = NonNullable<ReturnType<ClusterMetadata["topics"]["get"]>>["partitions"][number];

/** The part of an assignment that a fetcher needs. */
export type FetchedAssignment = Pick<DescribedAssignment, "assignment" | "partitions">;

/** The part of the library's client that a fetcher needs. */
export type FetchingClient = Pick<Consumer, "metadata" | "fetch">;

/**
 * The log was cut below the messages that were read, and may have grown again: the same offsets may
 * be those of other messages now.
 */
export class CutLogError extends Error {
  override name = "CutLogError";
  readonly partition: number;
  readonly cut: LogCut;
  constructor(partition: number, cut: LogCut) {
    super(`The log of partition ${partition} was cut at offset ${cut.to.offset}`);
    this.partition = partition;
    this.cut = cut;
  }
}

/** A batch of an answer. Its messages below `position` were given out before. */
interface TakenBatch extends JudgedBatch {
  readonly partition: number;
  readonly position: number;
  /** True where offsets are missing between the batch before it and this one. */
  readonly isBehindGap: boolean;
}

/**
 * The messages of exactly the assigned partitions from exactly the given positions, of committed
 * transactions only. Ends when `signal` aborts, also while it waits. Throws when a broker fails or
 * an offset is out of range. Deliberately not the library's own stream: it starts unknown
 * partitions at their end, and keeps messages of partitions that are gone. And it gives messages of
 * aborted transactions that are longer than one answer.
 */
export class Fetcher {
  readonly #consumer: FetchingClient;
  readonly #assignment: Assignment;
  /** Partition → the place to read next. The broker compares its epoch with its own log. */
  readonly #positions: Map<number, LogPosition>;
  /**
   * Partition → the offset from which on the log was seen to have no message, up to the next one
   * that is given out. It becomes the `since` of that message.
   */
  readonly #since: Map<number, number>;
  readonly #partitions: number;
  readonly #signal: AbortSignal;
  // Its own ones: a broker answers one connection in turn, so heartbeats would wait for messages.
  readonly #connections: RawFetchConnections;
  readonly #arrivals = new Queue<Arrival>();
  readonly #asked = new Set<number>();
  /** Partition → the offset of a batch that came damaged, perhaps on the way only. */
  readonly #doubted = new Map<number, number>();

  constructor(
    consumer: FetchingClient,
    options: KafkaOptions,
    { assignment, partitions }: FetchedAssignment,
    positions: LogPositions,
    signal: AbortSignal,
  ) {
    this.#consumer = consumer;
    this.#assignment = assignment;
    this.#partitions = partitions;
    this.#positions = exactly(assignment, positions);
    this.#since = new Map(Array.from(this.#positions, ([partition, { offset }]) => [partition, offset]));
    this.#signal = signal;
    this.#connections = new RawFetchConnections(CLIENT_ID, connectionOptions(options));
  }

  async *messages(): AsyncGenerator<readonly IncomingMessage[], void> {
    using _listener = addAbortListener(this.#signal, () => this.#arrivals.end());
    try {
      if (this.#signal.aborted) return;
      await this.#ask();
      for await (const arrival of this.#arrivals) {
        if ("error" in arrival) throw this.#cutBehind(arrival.error) ?? arrival.error;
        this.#asked.delete(arrival.node);
        const taken = this.#take(arrival.response);
        // Asked first: the broker answers while the caller works on these messages.
        await this.#ask();
        for await (const messages of this.#unpack(taken)) {
          if (this.#signal.aborted) return;
          yield messages;
        }
      }
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      // Deliberately not awaited: a question under way would hold up the end of the reading.
      void this.#connections.close().catch(() => {});
    }
  }

  /** Asks each broker for the partitions it leads, unless it still owes an answer. */
  async #ask(): Promise<void> {
    if (this.#positions.size === 0 || this.#signal.aborted) return;
    const { topic, topicId } = this.#assignment;
    const metadata = await unlessAborted(this.#consumer.metadata({ topics: [topic] }), this.#signal);
    const found = metadata.topics.get(topic);
    const count = found?.partitionsCount ?? 0;
    if (count !== this.#partitions) throw new OutdatedAssignment(`The topic ${topic} has ${count} partitions now`);
    const id = topicIdHex(found?.id ?? "");
    // Offsets of one topic mean nothing in another of the same name, even where they are in range.
    if (id !== null && id !== topicId) throw new OutdatedAssignment(`The topic ${topic} was deleted and made again`);
    const leaders = found?.partitions ?? [];
    const byLeader = Map.groupBy(this.#positions.keys(), (partition) => leaders[partition]?.leader ?? -1);
    for (const [node, partitions] of byLeader) {
      // The next reading leaves such partitions out.
      if (node < 0) throw new Error(`Nobody leads partition ${partitions.join(", ")}`);
      if (!this.#asked.has(node)) this.#askOne(node, found?.id ?? "", partitions, leaders);
    }
  }

  #askOne(node: number, topicId: string, partitions: readonly number[], leaders: readonly Leader[]): void {
    this.#asked.add(node);
    const topics = partitions.map((partition) => {
      const position = this.#positions.get(partition) as LogPosition;
      return { topicId, partitions: [fetchFrom(partition, position, leaders[partition]?.leaderEpoch ?? -1)] };
    });
    const limits = { maxWaitTime: LONGEST_POLL, minBytes: 1, maxBytes: FETCH_BYTES, isolationLevel: READ_COMMITTED };
    this.#consumer.fetch({ node, topics, connectionPool: this.#connections, ...limits }).then(
      // Another type than the library says: the answer comes in over our `connectionPool`, and its
      // connections parse the bytes themselves (`parseAnswer` in raw_fetch.ts).
      (response) => this.#arrive({ node, response: response as unknown as FetchAnswer }),
      (error) => this.#arrive({ error }),
    );
  }

  #arrive(arrival: Arrival): void {
    if (!this.#signal.aborted) this.#arrivals.push(arrival);
  }

  /**
   * A cut that a broker means by "out of range": it says so, too, where its log knows nothing of
   * the epoch that it was asked about. How far the log is the same is unknown then.
   */
  #cutBehind(error: unknown): CutLogError | null {
    const answer = (error as { readonly response?: Partial<FetchAnswer> } | null)?.response;
    for (const { partitionIndex, errorCode } of answer?.responses?.flatMap(({ partitions }) => partitions) ?? []) {
      const from = this.#positions.get(partitionIndex);
      if (errorCode !== OFFSET_OUT_OF_RANGE || from === undefined || from.epoch === null) continue;
      return new CutLogError(partitionIndex, { from, to: { ...from, epoch: null } });
    }
    return null;
  }

  /** The batches of an answer; moves the offsets past everything in it, messages or not. */
  #take(response: FetchAnswer): TakenBatch[] {
    const taken: TakenBatch[] = [];
    for (const answer of response.responses.flatMap(({ partitions }) => partitions)) {
      const position = this.#positions.get(answer.partitionIndex);
      if (position !== undefined) taken.push(...this.#takeOne(answer, position));
    }
    return taken;
  }

  *#takeOne(answer: PartitionAnswer, from: LogPosition): Generator<TakenBatch, void> {
    const { partitionIndex: partition } = answer;
    const cut = cutIn(answer, from);
    if (cut !== null) throw new CutLogError(partition, cut);
    let next = from;
    for (const judged of judge(answer, this.#believed(partition, answer.batches))) {
      const { batch } = judged;
      yield { partition, position: from.offset, ...judged, isBehindGap: batch.firstOffset > next.offset };
      if (batch.lastOffset >= next.offset) next = { offset: batch.lastOffset + 1, epoch: batch.leaderEpoch };
    }
    this.#positions.set(partition, next);
  }

  /**
   * The batches before the first damaged one. That one may be damaged only on the way, so the
   * broker is asked for it once more. If it comes damaged again, it is taken as it is, with the
   * batches behind it up to the next damaged one.
   */
  #believed(partition: number, batches: readonly RecordBatch[]): readonly RecordBatch[] {
    const at = batches.findIndex(({ isIntact, firstOffset }) =>
      !isIntact && this.#doubted.get(partition) !== firstOffset
    );
    const damaged = batches[at];
    if (damaged === undefined) return batches;
    this.#doubted.set(partition, damaged.firstOffset);
    return batches.slice(0, at);
  }

  /**
   * The messages of batches, in order, not too many at once: small batches together, a large one
   * bit by bit.
   */
  async *#unpack(taken: readonly TakenBatch[]): AsyncGenerator<readonly IncomingMessage[], void> {
    let messages: IncomingMessage[] = [];
    let bytes = 0;
    for (const one of taken) {
      const { partition, batch, counts, isBehindGap } = one;
      // Between batches the log shows nothing: compaction removes whole ones, and a reader may lose
      // one.
      if (isBehindGap) this.#since.set(partition, batch.firstOffset);
      if (!counts) continue;
      const whole = batch.whole();
      if (whole === null) {
        if (messages.length > 0) yield messages;
        messages = [];
        bytes = 0;
        for await (const some of batch.stream(this.#signal)) yield this.#incoming(one, some);
        continue;
      }
      for (const message of this.#incoming(one, whole)) {
        messages.push(message);
        bytes += bytesInMemory(message);
        if (messages.length < MESSAGES_AT_ONCE && bytes < BYTES_AT_ONCE) continue;
        yield messages;
        messages = [];
        bytes = 0;
      }
    }
    if (messages.length > 0) yield messages;
  }

  /** The messages that are not yet known: a broker sends a batch whole, from its beginning. */
  #incoming({ partition, position, batch }: TakenBatch, messages: readonly BatchMessage[]): IncomingMessage[] {
    const incoming: IncomingMessage[] = [];
    const epoch = batch.leaderEpoch;
    let since = this.#since.get(partition) ?? position;
    for (const message of messages) {
      const { offset, unreadable } = message;
      if (offset < position) continue;
      const isVouched = since < (unreadable?.first ?? offset);
      // The spread comes first: engines copy an object so at once, but field by field otherwise.
      incoming.push(isVouched ? { ...message, partition, epoch, since } : { ...message, partition, epoch });
      since = offset + 1;
    }
    this.#since.set(partition, since);
    return incoming;
  }
}

/**
 * The cut that a broker tells of instead of messages: its log has no message of the epoch at `from`
 * so far up. Epochs only rise along a log. So where it ends with that same epoch, all below is the
 * same; where it ends with an earlier one, nobody knows (KIP-320).
 */
function cutIn({ divergingEpoch }: PartitionAnswer, from: LogPosition): LogCut | null {
  const offset = Number(divergingEpoch?.endOffset ?? -1);
  if (offset < 0) return null;
  return { from, to: { offset, epoch: divergingEpoch?.epoch === from.epoch ? from.epoch : null } };
}
