import { ConnectionPool, type Consumer, type fetchV17 } from "@platformatic/kafka";
import type { Assignment, IncomingMessage, KafkaOptions, Positions } from "../kafka.ts";
import { connectionOptions } from "./connection.ts";
import { OutdatedShare } from "../kafka/basis.ts";
import { exactly } from "../kafka/readings.ts";
import { CLIENT_ID, FETCH_BYTES, PARTITION_BYTES } from "../kafka/setup.ts";
import { topicIdHex } from "../kafka/topic_id.ts";
import { Queue } from "../queue.ts";
import { unlessAborted } from "../unless_aborted.ts";

/** Milliseconds that a broker holds a question to which it has no new messages. */
const LONGEST_POLL = 500;
/** An answer may hold many thousand messages: decoded in one go they would keep everything else waiting. */
const MESSAGES_AT_ONCE = 1000;
/** Bits of a batch's attributes, and the isolation level that leaves out what was never committed: Kafka's protocol. */
const LOG_APPEND_TIME = 8;
const TRANSACTIONAL = 16;
const CONTROL = 32;
const READ_COMMITTED = 1;

/** An answer of one broker, or why there is none. */
type Arrival = { readonly node: number; readonly response: FetchResponse } | { readonly error: unknown };

type FetchResponse = fetchV17.FetchResponse;
type PartitionResponse = FetchResponse["responses"][number]["partitions"][number];
type Batch = NonNullable<PartitionResponse["records"]>[number];

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
    signal: AbortSignal,
  ) {
    this.#consumer = consumer;
    this.#assignment = assignment;
    this.#partitions = partitions;
    this.#offsets = exactly(assignment, positions);
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
    const byLeader = Map.groupBy(this.#offsets, ([partition]) => found?.partitions[partition]?.leader ?? -1);
    for (const [node, offsets] of byLeader) {
      if (!this.#asked.has(node)) this.#askOne(node, found?.id ?? "", offsets);
    }
  }

  #askOne(node: number, topicId: string, offsets: readonly (readonly [number, number])[]): void {
    this.#asked.add(node);
    const topics = offsets.map(([partition, offset]) => ({ topicId, partitions: [request(partition, offset)] }));
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
      const partition = answer.partitionIndex;
      const position = this.#offsets.get(partition);
      if (position === undefined) continue;
      for (const batch of committed(answer)) addMessages(messages, partition, position, batch);
      const last = answer.records?.at(-1);
      if (last !== undefined) this.#offsets.set(partition, Math.max(position, lastOffset(last) + 1));
    }
    return messages;
  }
}

function request(partition: number, offset: number) {
  const epochs = { currentLeaderEpoch: -1, lastFetchedEpoch: -1 };
  return { partition, fetchOffset: BigInt(offset), partitionMaxBytes: PARTITION_BYTES, ...epochs };
}

/** The batches with messages that count: without the marks of transactions, and without what an aborted one wrote. */
function* committed({ records, abortedTransactions }: PartitionResponse): Generator<Batch, void> {
  const aborted = [...abortedTransactions ?? []].sort((a, b) => Number(a.firstOffset - b.firstOffset));
  const open = new Set<bigint>();
  for (const batch of records ?? []) {
    while (aborted[0] !== undefined && aborted[0].firstOffset <= lastOffset(batch)) {
      open.add((aborted.shift() as typeof aborted[0]).producerId);
    }
    if (batch.attributes & CONTROL) {
      // Version, then type: 0 ends an aborted transaction, 1 a committed one.
      if (batch.records[0]?.key?.readInt16BE(2) === 0) open.delete(batch.producerId);
    } else if (!(batch.attributes & TRANSACTIONAL && open.has(batch.producerId))) yield batch;
  }
}

function addMessages(messages: IncomingMessage[], partition: number, position: number, batch: Batch): void {
  const first = Number(batch.firstOffset);
  for (const { offsetDelta, key, value, timestampDelta } of batch.records) {
    const offset = first + offsetDelta;
    // A batch is sent whole, also where its middle was asked for.
    if (offset < position) continue;
    const logged = batch.attributes & LOG_APPEND_TIME;
    const timestamp = Number(logged ? batch.maxTimestamp : batch.firstTimestamp + timestampDelta);
    messages.push({ partition, offset, key, value, timestamp });
  }
}

function lastOffset(batch: Batch): number {
  return Number(batch.firstOffset) + batch.lastOffsetDelta;
}
