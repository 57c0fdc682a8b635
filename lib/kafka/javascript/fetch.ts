import type { ClusterMetadata, Consumer } from "@platformatic/kafka";
import { Queue } from "../../async/queue.ts";
import { unlessAborted } from "../../async/unless_aborted.ts";
import { OutdatedAssignment } from "../topic_snapshot.ts";
import type { Epochs } from "../epochs.ts";
import { type Assignment, type IncomingMessage, type KafkaOptions, KEPT_BYTES, type Positions } from "../kafka.ts";
import { exactly } from "../readings.ts";
import { CLIENT_ID, FETCH_BYTES } from "../setup.ts";
import { topicIdHex } from "../topic_id.ts";
import { judge, type JudgedBatch } from "./batches.ts";
import { connectionOptions } from "./connection.ts";
import { fetchFrom } from "./log_consumer.ts";
import { type FetchAnswer, type PartitionAnswer, RawFetchConnections } from "./raw_fetch.ts";
import { type BatchMessage, bytesOfBatch, type RecordBatch } from "./record_batches.ts";

/** Milliseconds that a broker may wait for new messages before it answers. */
const LONGEST_POLL = 500;
/**
 * Messages that are given at once. Thousands decoded in one go would keep all other work waiting.
 */
const MESSAGES_AT_ONCE = 1000;
/** Bytes of messages that are given at once. */
const BYTES_AT_ONCE = KEPT_BYTES;
/** The isolation level that leaves out messages that were never committed: Kafka's protocol. */
const READ_COMMITTED = 1;

/** An answer of one broker, or why there is none. */
type Arrival = { readonly node: number; readonly response: FetchAnswer } | { readonly error: unknown };

type Leader = NonNullable<ReturnType<ClusterMetadata["topics"]["get"]>>["partitions"][number];

/** The partitions that are fetched. */
export interface FetchingShare {
  readonly assignment: Assignment;
  /** How many the whole topic had when the group shared them out. */
  readonly partitions: number;
}

/** What the fetcher needs of the library's client. */
export type FetchingClient = Pick<Consumer, "metadata" | "fetch">;

/**
 * The log was cut below the position that was read, and may have grown again. The same offsets
 * may belong to other messages now.
 */
export class CutLog extends Error {
  override name = "CutLog";
  readonly partition: number;
  readonly at: number;
  constructor(partition: number, at: number) {
    super(`The log of partition ${partition} was cut at offset ${at}`);
    this.partition = partition;
    this.at = at;
  }
}

/** A batch of an answer; its messages below `position` are known. */
interface Portion extends JudgedBatch {
  readonly partition: number;
  readonly position: number;
  /** True where it does not begin where the one before it ends. */
  readonly isBehindHole: boolean;
}

/**
 * The messages of exactly the assigned partitions from exactly the given positions, of committed
 * transactions only. Ends when `signal` aborts, also while it waits; throws when a broker fails or
 * an offset is out of range. Deliberately not the library's own stream: that one starts unknown
 * partitions at their end, keeps messages of partitions that are gone, and lets aborted
 * transactions through that are longer than one answer.
 */
export class Fetcher {
  readonly #consumer: FetchingClient;
  readonly #assignment: Assignment;
  readonly #offsets: Map<number, number>;
  /**
   * By partition: from where on there is no further message before the next one, as the log itself
   * shows.
   */
  readonly #since: Map<number, number>;
  readonly #epochs: Epochs;
  readonly #partitions: number;
  readonly #signal: AbortSignal;
  // A pool apart: a broker answers one connection's requests in turn, so heartbeats would wait for
  // messages.
  readonly #connections: RawFetchConnections;
  readonly #arrivals = new Queue<Arrival>();
  readonly #asked = new Set<number>();
  /** Partition → the offset of a batch that came damaged. It may have been so on the way only. */
  readonly #doubted = new Map<number, number>();

  constructor(
    consumer: FetchingClient,
    options: KafkaOptions,
    { assignment, partitions }: FetchingShare,
    positions: Positions,
    epochs: Epochs,
    signal: AbortSignal,
  ) {
    this.#consumer = consumer;
    this.#assignment = assignment;
    this.#partitions = partitions;
    this.#offsets = exactly(assignment, positions);
    this.#since = new Map(this.#offsets);
    this.#epochs = epochs;
    this.#signal = signal;
    this.#connections = new RawFetchConnections(CLIENT_ID, connectionOptions(options));
  }

  async *messages(): AsyncGenerator<readonly IncomingMessage[], void> {
    const end = () => this.#arrivals.end();
    this.#signal.addEventListener("abort", end, { once: true });
    try {
      if (this.#signal.aborted) return;
      await this.#ask();
      for await (const arrival of this.#arrivals) {
        if ("error" in arrival) throw arrival.error;
        this.#asked.delete(arrival.node);
        const portions = this.#take(arrival.response);
        // Before the messages are given out: the broker answers while they are worked on.
        await this.#ask();
        for await (const messages of this.#unpack(portions)) {
          if (this.#signal.aborted) return;
          yield messages;
        }
      }
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      this.#signal.removeEventListener("abort", end);
      // Deliberately not awaited: a request under way would delay the end of the reading.
      void this.#connections.close().catch(() => {});
    }
  }

  /** Asks each broker for the partitions it leads, unless it has not yet answered. */
  async #ask(): Promise<void> {
    if (this.#offsets.size === 0 || this.#signal.aborted) return;
    const { topic, topicId } = this.#assignment;
    const metadata = await unlessAborted(this.#consumer.metadata({ topics: [topic] }), this.#signal);
    const found = metadata.topics.get(topic);
    const count = found?.partitionsCount ?? 0;
    if (count !== this.#partitions) throw new OutdatedAssignment(`The topic ${topic} has ${count} partitions now`);
    const id = topicIdHex(found?.id ?? "");
    // Offsets of one topic mean nothing in another of the same name, though they may be in its
    // range.
    if (id !== null && id !== topicId) throw new OutdatedAssignment(`The topic ${topic} was deleted and made again`);
    const leaders = found?.partitions ?? [];
    const byLeader = Map.groupBy(this.#offsets.keys(), (partition) => leaders[partition]?.leader ?? -1);
    for (const [node, partitions] of byLeader) {
      // The reading that begins then is of the others.
      if (node < 0) throw new Error(`Nobody leads partition ${partitions.join(", ")}`);
      if (!this.#asked.has(node)) this.#askOne(node, found?.id ?? "", partitions, leaders);
    }
  }

  #askOne(node: number, topicId: string, partitions: readonly number[], leaders: readonly Leader[]): void {
    this.#asked.add(node);
    const topics = partitions.map((partition) => {
      const offset = this.#offsets.get(partition) ?? 0;
      const place = { partition, offset, epoch: this.#epochs.before(partition, offset) };
      return { topicId, partitions: [fetchFrom(place, leaders[partition]?.leaderEpoch ?? -1)] };
    });
    const limits = { maxWaitTime: LONGEST_POLL, minBytes: 1, maxBytes: FETCH_BYTES, isolationLevel: READ_COMMITTED };
    this.#consumer.fetch({ node, topics, connectionPool: this.#connections, ...limits }).then(
      // The library declares another type, but our connections parse the answer.
      (response) => this.#arrive({ node, response: response as unknown as FetchAnswer }),
      (error) => this.#arrive({ error }),
    );
  }

  #arrive(arrival: Arrival): void {
    if (!this.#signal.aborted) this.#arrivals.push(arrival);
  }

  /** The batches of an answer; moves the offsets past everything in it, messages or not. */
  #take(response: FetchAnswer): Portion[] {
    const portions: Portion[] = [];
    for (const answer of response.responses.flatMap(({ partitions }) => partitions)) {
      const position = this.#offsets.get(answer.partitionIndex);
      if (position !== undefined) portions.push(...this.#takeOne(answer, position));
    }
    return portions;
  }

  *#takeOne(answer: PartitionAnswer, position: number): Generator<Portion, void> {
    const { partitionIndex: partition, divergingEpoch } = answer;
    const cutAt = Number(divergingEpoch?.endOffset ?? -1);
    if (cutAt >= 0) throw new CutLog(partition, cutAt);
    let next = position;
    for (const judged of judge(answer, this.#believed(partition, answer.batches))) {
      const { batch } = judged;
      yield { partition, position, ...judged, isBehindHole: batch.firstOffset > next };
      next = Math.max(next, batch.lastOffset + 1);
      this.#epochs.note(partition, batch.firstOffset, batch.leaderEpoch);
      this.#epochs.note(partition, batch.lastOffset, batch.leaderEpoch);
    }
    this.#offsets.set(partition, next);
  }

  /**
   * The batches before the first that is damaged, and also that one where it was damaged before: it
   * is asked for twice.
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
   * The messages of batches, in order, not too many at once. Small batches are joined, a large one
   * comes bit by bit.
   */
  async *#unpack(portions: readonly Portion[]): AsyncGenerator<readonly IncomingMessage[], void> {
    let messages: IncomingMessage[] = [];
    let bytes = 0;
    for (const portion of portions) {
      const { partition, batch, counts, isBehindHole } = portion;
      // Between two batches the log shows nothing: compaction takes out whole ones, and a reader
      // may lose one.
      if (isBehindHole) this.#since.set(partition, batch.firstOffset);
      if (!counts) continue;
      const whole = batch.whole();
      if (whole === null) {
        if (messages.length > 0) yield messages;
        messages = [];
        bytes = 0;
        for await (const some of batch.stream(this.#signal)) yield this.#incoming(portion, some);
        continue;
      }
      for (const message of this.#incoming(portion, whole)) {
        messages.push(message);
        bytes += bytesOfBatch(message);
        if (messages.length < MESSAGES_AT_ONCE && bytes < BYTES_AT_ONCE) continue;
        yield messages;
        messages = [];
        bytes = 0;
      }
    }
    if (messages.length > 0) yield messages;
  }

  /** Without those that are known: a batch is sent whole, also where its middle was asked for. */
  #incoming({ partition, position }: Portion, messages: readonly BatchMessage[]): IncomingMessage[] {
    const incoming: IncomingMessage[] = [];
    let since = this.#since.get(partition) ?? position;
    for (const message of messages) {
      const { offset, unreadable } = message;
      if (offset < position) continue;
      const isVouched = since < (unreadable?.first ?? offset);
      incoming.push(isVouched ? { partition, ...message, since } : { partition, ...message });
      since = offset + 1;
    }
    this.#since.set(partition, since);
    return incoming;
  }
}
