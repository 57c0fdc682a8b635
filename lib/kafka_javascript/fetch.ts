import { type ClusterMetadata, ConnectionPool, type Consumer, type fetchV17 } from "@platformatic/kafka";
import type { Assignment, IncomingMessage, KafkaOptions, Positions } from "../kafka.ts";
import { connectionOptions } from "./connection.ts";
import { OutdatedShare } from "../kafka/basis.ts";
import type { Epochs } from "../kafka/epochs.ts";
import { judge, lastOffset } from "./batches.ts";
import { type Batch, fetchFrom, type PartitionAnswer } from "./log_consumer.ts";
import { exactly } from "../kafka/readings.ts";
import { CLIENT_ID, FETCH_BYTES } from "../kafka/setup.ts";
import { topicIdHex } from "../kafka/topic_id.ts";
import { Queue } from "../queue.ts";
import { unlessAborted } from "../unless_aborted.ts";

/** Milliseconds that a broker holds a question to which it has no new messages. */
const LONGEST_POLL = 500;
/** An answer may hold many thousand messages: decoded in one go they would keep everything else waiting. */
const MESSAGES_AT_ONCE = 1000;
/** A bit of a batch's attributes, and the isolation level that leaves out what was never committed: Kafka's protocol. */
const LOG_APPEND_TIME = 8;
const READ_COMMITTED = 1;

/** An answer of one broker, or why there is none. */
type Arrival = { readonly node: number; readonly response: FetchResponse } | { readonly error: unknown };

type FetchResponse = fetchV17.FetchResponse;
type Leader = NonNullable<ReturnType<ClusterMetadata["topics"]["get"]>>["partitions"][number];

/** The log was cut below what was read of it, and may have grown again: the same offsets are those of other messages now. */
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

/**
 * The messages of exactly the assigned partitions from exactly the given positions, of committed transactions only. Ends
 * when `signal` aborts, also while it waits; throws when a broker fails or an offset is out of range. Deliberately not
 * the library's own stream: that one starts unknown partitions at their end, keeps messages of partitions that are gone,
 * and lets aborted transactions through that are longer than one answer.
 */
export class Fetcher {
  readonly #consumer: Consumer;
  readonly #assignment: Assignment;
  readonly #offsets: Map<number, number>;
  /** By partition: from where to the offset asked for next there is no message, as the log itself shows. */
  readonly #known: Map<number, number>;
  readonly #epochs: Epochs;
  readonly #partitions: number;
  readonly #signal: AbortSignal;
  // Of its own: a broker answers the questions of one connection in turn, so heartbeats would wait for messages.
  readonly #connections: ConnectionPool;
  readonly #arrivals = new Queue<Arrival>();
  readonly #asked = new Set<number>();

  /** `partitions`: how many the topic had when the group shared them out. */
  constructor(
    consumer: Consumer,
    options: KafkaOptions,
    { assignment, partitions }: { readonly assignment: Assignment; readonly partitions: number },
    positions: Positions,
    epochs: Epochs,
    signal: AbortSignal,
  ) {
    this.#consumer = consumer;
    this.#assignment = assignment;
    this.#partitions = partitions;
    this.#offsets = exactly(assignment, positions);
    this.#known = new Map(this.#offsets);
    this.#epochs = epochs;
    this.#signal = signal;
    this.#connections = new ConnectionPool(CLIENT_ID, connectionOptions(options));
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
        const messages = this.#take(arrival.response);
        // Before the messages are given out: the broker answers while they are worked on.
        await this.#ask();
        for (let from = 0; from < messages.length; from += MESSAGES_AT_ONCE) {
          if (this.#signal.aborted) return;
          yield messages.slice(from, from + MESSAGES_AT_ONCE);
        }
      }
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      this.#signal.removeEventListener("abort", end);
      // Deliberately not awaited: a question under way would hold up whoever ends the reading.
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
    if (count !== this.#partitions) throw new OutdatedShare(`The topic ${topic} has ${count} partitions now`);
    const id = topicIdHex(found?.id ?? "");
    // Offsets of one topic mean nothing in another of the same name, though they may well be in its range.
    if (id !== null && id !== topicId) throw new OutdatedShare(`The topic ${topic} was deleted and made again`);
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
      (response) => this.#arrive({ node, response }),
      (error) => this.#arrive({ error }),
    );
  }

  #arrive(arrival: Arrival): void {
    if (!this.#signal.aborted) this.#arrivals.push(arrival);
  }

  /** The messages of an answer; moves the offsets past everything in it, messages or not. */
  #take(response: FetchResponse): IncomingMessage[] {
    const messages: IncomingMessage[] = [];
    for (const answer of response.responses.flatMap(({ partitions }) => partitions)) {
      const position = this.#offsets.get(answer.partitionIndex);
      if (position !== undefined) this.#takeOne(messages, answer, position);
    }
    return messages;
  }

  #takeOne(messages: IncomingMessage[], answer: PartitionAnswer, position: number): void {
    const { partitionIndex: partition, divergingEpoch } = answer;
    const cutAt = Number(divergingEpoch?.endOffset ?? -1);
    if (cutAt >= 0) throw new CutLog(partition, cutAt);
    let next = position;
    let known = this.#known.get(partition) ?? position;
    for (const { batch, counts } of judge(answer)) {
      // Between two batches the log shows nothing: compaction takes out whole ones, and a reader may lose one.
      if (Number(batch.firstOffset) > next) known = Number(batch.firstOffset);
      if (counts) known = addMessages(messages, partition, position, known, batch);
      next = Math.max(next, lastOffset(batch) + 1);
      this.#epochs.note(partition, Number(batch.firstOffset), batch.partitionLeaderEpoch);
      this.#epochs.note(partition, lastOffset(batch), batch.partitionLeaderEpoch);
    }
    this.#offsets.set(partition, next);
    this.#known.set(partition, known);
  }
}

/** Adds the messages of a batch. `known`: from where on nothing is missing before the first; gives the same for the next batch. */
function addMessages(
  messages: IncomingMessage[],
  partition: number,
  position: number,
  known: number,
  batch: Batch,
): number {
  const first = Number(batch.firstOffset);
  let since = known;
  for (const { offsetDelta, key, value, timestampDelta } of batch.records) {
    const offset = first + offsetDelta;
    // A batch is sent whole, also where its middle was asked for.
    if (offset < position) continue;
    const logged = batch.attributes & LOG_APPEND_TIME;
    const timestamp = Number(logged ? batch.maxTimestamp : batch.firstTimestamp + timestampDelta);
    const message = { partition, offset, key, value, timestamp };
    messages.push(since < offset ? { ...message, since } : message);
    since = offset + 1;
  }
  return since;
}
