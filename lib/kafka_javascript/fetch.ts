import { Consumer } from "@platformatic/kafka";
import {
  type Assignment,
  type ConsumerOptions,
  type IncomingMessage,
  type KafkaOptions,
  KEPT_BYTES,
  type Positions,
} from "../kafka.ts";
import { connectionOptions } from "./connection.ts";
import { type FetchAnswer, type PartitionAnswer, RawFetchConnections } from "./raw_fetch.ts";
import { type BatchMessage, type RecordBatch, sizeOf } from "./record_batches.ts";
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
/** Nor may long ones be together. */
const BYTES_AT_ONCE = KEPT_BYTES;
/** The isolation level that leaves out what was never committed: Kafka's protocol. */
const READ_COMMITTED = 1;

/** An answer of one broker, or why there is none. */
type Arrival = { readonly node: number; readonly response: FetchAnswer } | { readonly error: unknown };

/** Batches of a partition that are to be unpacked; of the first, messages below `position` are known. */
interface Portion {
  readonly partition: number;
  readonly position: number;
  readonly batch: RecordBatch;
}

/** What the fetcher needs of the library's client. */
export type FetchingClient = Pick<Consumer, "metadata" | "fetch" | "close">;

/** How often the library tries a request before it tells: a new reading is cheap. */
export const RETRIES = 3;

/** A client that is a member of no group, for a `Fetcher`. */
export function fetchingClient(options: ConsumerOptions): FetchingClient {
  const client = new Consumer({
    ...connectionOptions(options),
    groupId: options.group,
    autocommit: false,
    retries: RETRIES,
  });
  client.topics.track(options.topic);
  // Who asks hears of it as well; without a listener it would end the process.
  client.on("error", () => {});
  return client;
}

/**
 * The messages of exactly the assigned partitions from exactly the given positions, of committed transactions only. Ends
 * when `signal` aborts, also while it waits; throws when a broker fails or an offset is out of range. Deliberately not
 * the library's own stream: that one starts unknown partitions at their end, keeps messages of partitions that are gone,
 * and lets aborted transactions through that are longer than one answer.
 */
export class Fetcher {
  readonly #consumer: FetchingClient;
  readonly #assignment: Assignment;
  readonly #offsets: Map<number, number>;
  readonly #partitions: number;
  readonly #signal: AbortSignal;
  // Of its own: a broker answers the questions of one connection in turn, so heartbeats would wait for messages.
  readonly #connections: RawFetchConnections;
  readonly #arrivals = new Queue<Arrival>();
  readonly #asked = new Set<number>();
  /** Partition → the offset of a batch that came damaged. It may have been so on the way only. */
  readonly #doubted = new Map<number, number>();

  /** `partitions`: how many the topic had when the group shared them out. */
  constructor(
    consumer: FetchingClient,
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
        for await (const messages of unpacked(portions, this.#signal)) {
          if (this.#signal.aborted) return;
          yield messages;
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
      // Another one than the library says: what its connections read is ours.
      (response) => this.#arrive({ node, response: response as unknown as FetchAnswer }),
      (error) => this.#arrive({ error }),
    );
  }

  #arrive(arrival: Arrival): void {
    if (!this.#signal.aborted) this.#arrivals.push(arrival);
  }

  /** What is to be unpacked of an answer; moves the offsets past everything in it, messages or not. */
  #take(response: FetchAnswer): Portion[] {
    const portions: Portion[] = [];
    for (const answer of response.responses.flatMap(({ partitions }) => partitions)) {
      const partition = answer.partitionIndex;
      const position = this.#offsets.get(partition);
      if (position === undefined) continue;
      const batches = this.#believed(partition, answer.batches);
      for (const batch of committed(answer, batches)) portions.push({ partition, position, batch });
      const last = batches.at(-1);
      if (last !== undefined) this.#offsets.set(partition, Math.max(position, last.lastOffset + 1));
    }
    return portions;
  }

  /** The batches before the first that is damaged, and also that one where it was damaged before: it is asked for twice. */
  #believed(partition: number, batches: readonly RecordBatch[]): readonly RecordBatch[] {
    const at = batches.findIndex(({ isIntact, firstOffset }) =>
      !isIntact && this.#doubted.get(partition) !== firstOffset
    );
    const damaged = batches[at];
    if (damaged === undefined) return batches;
    this.#doubted.set(partition, damaged.firstOffset);
    return batches.slice(0, at);
  }
}

function request(partition: number, offset: number) {
  const epochs = { currentLeaderEpoch: -1, lastFetchedEpoch: -1 };
  return { partition, fetchOffset: BigInt(offset), partitionMaxBytes: PARTITION_BYTES, ...epochs };
}

/** The batches with messages that count: without the marks of transactions, and without what an aborted one wrote. */
function* committed(
  { abortedTransactions }: PartitionAnswer,
  batches: readonly RecordBatch[],
): Generator<RecordBatch, void> {
  const aborted = [...abortedTransactions ?? []].sort((a, b) => Number(a.firstOffset - b.firstOffset));
  const open = new Set<bigint>();
  for (const batch of batches) {
    while (aborted[0] !== undefined && aborted[0].firstOffset <= batch.lastOffset) {
      open.add((aborted.shift() as typeof aborted[0]).producerId);
    }
    if (batch.isControl) {
      // Version, then type, two bytes each: 0 ends an aborted transaction, 1 a committed one.
      const key = batch.whole()?.[0]?.key;
      if (key?.[2] === 0 && key[3] === 0) open.delete(batch.producerId);
    } else if (!(batch.isTransactional && open.has(batch.producerId))) yield batch;
  }
}

/** The messages of batches, in order, not too many at once. Small batches are joined, a large one comes bit by bit. */
async function* unpacked(
  portions: readonly Portion[],
  signal: AbortSignal,
): AsyncGenerator<readonly IncomingMessage[], void> {
  let messages: IncomingMessage[] = [];
  let bytes = 0;
  for (const portion of portions) {
    const whole = portion.batch.whole();
    if (whole === null) {
      if (messages.length > 0) yield messages;
      messages = [];
      bytes = 0;
      for await (const some of portion.batch.stream(signal)) yield incoming(portion, some);
      continue;
    }
    for (const message of incoming(portion, whole)) {
      messages.push(message);
      bytes += sizeOf(message);
      if (messages.length < MESSAGES_AT_ONCE && bytes < BYTES_AT_ONCE) continue;
      yield messages;
      messages = [];
      bytes = 0;
    }
  }
  if (messages.length > 0) yield messages;
}

/** Without those that are known: a batch is sent whole, also where its middle was asked for. */
function incoming({ partition, position }: Portion, messages: readonly BatchMessage[]): IncomingMessage[] {
  return messages.filter(({ offset }) => offset >= position).map((message) => ({ partition, ...message }));
}
