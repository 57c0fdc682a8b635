import type { KafkaOptions } from "../kafka.ts";
import { ANSWER_LIMIT, CLIENT_ID, closedInTime } from "../client_settings.ts";
import { topicIdHex } from "../topic.ts";
import { judge } from "./transactions.ts";
import { connectionOptions } from "./connection.ts";
import { fetchFrom, LogConsumer, PARTITION_BYTES } from "./log_consumer.ts";
import { type FetchAnswer, type PartitionAnswer, RawFetchConnections } from "./raw_fetch.ts";

/** Milliseconds that a broker may wait for messages that are not there yet. */
const LONGEST_POLL = 100;
/** The most holes to remember of one answer: a batch may unpack to millions. */
const MOST_HOLES = 10_000;
/** `read_committed`: Kafka's protocol. */
const READ_COMMITTED = 1;

/** Offsets from one to another (not included). */
interface Range {
  readonly from: number;
  readonly to: number;
}

/** The part of a log that one answer showed: its bounds, and the holes between its messages. */
interface LogView extends Range {
  readonly topicId: string;
  readonly partition: number;
  readonly holes: readonly Range[];
}

/**
 * Looks at logs a second time, over connections of its own and without a group, for holes that a
 * reading met. It keeps one answer, which shows many holes, until it needs another: a log full of
 * holes is read twice, and not anew for each.
 */
export class SecondLook implements AsyncDisposable {
  readonly #options: KafkaOptions;
  #connected: Connected | undefined;
  #view: LogView | undefined;
  readonly #closed = new AbortController();

  constructor(options: KafkaOptions) {
    this.#options = options;
  }

  /**
   * True where the log holds no message that counts from offset `from` to `to` (not included).
   * Rejects where no broker can say.
   */
  async isHole(topicId: string, partition: number, from: number, to: number): Promise<boolean> {
    for (let at = from; at < to;) {
      const view = await this.#viewAt(topicId, partition, at);
      const hole = view.holes.find((hole) => hole.from <= at && at < hole.to);
      if (hole === undefined) return false;
      at = hole.to;
    }
    return true;
  }

  async #viewAt(topicId: string, partition: number, at: number): Promise<LogView> {
    const view = this.#view;
    const isSame = view?.topicId === topicId && view.partition === partition;
    if (view !== undefined && isSame && view.from <= at && at < view.to) return view;
    const answer = await this.#fetch(topicId, partition, at);
    return this.#view = { topicId, partition, ...await holesFrom(at, answer, this.#closed.signal) };
  }

  async #fetch(topicId: string, partition: number, offset: number): Promise<PartitionAnswer | undefined> {
    const { topic } = this.#options;
    const { consumer, connections } = this.#connected ??= connect(this.#options);
    const found = (await consumer.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic);
    const [id, leader] = [found?.id ?? "", found?.partitions[partition]];
    const isOther = topicIdHex(id) !== null && topicIdHex(id) !== topicId;
    if (leader === undefined || leader.leader < 0 || isOther) throw new Error(`Nobody leads partition ${partition}`);
    const asked = fetchFrom(partition, { offset, epoch: null }, leader.leaderEpoch);
    const response = await consumer.fetch({
      node: leader.leader,
      topics: [{ topicId: id, partitions: [asked] }],
      connectionPool: connections,
      maxWaitTime: LONGEST_POLL,
      minBytes: 1,
      maxBytes: PARTITION_BYTES,
      isolationLevel: READ_COMMITTED,
    });
    // Another type than the library says: `connectionPool` parses the bytes itself, as in fetch.ts.
    const { responses } = response as unknown as FetchAnswer;
    return responses.flatMap(({ partitions }) => partitions).find((one) => one.partitionIndex === partition);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    const connected = this.#connected;
    this.#connected = undefined;
    if (connected === undefined) return;
    const { consumer, connections } = connected;
    await closedInTime(Promise.all([consumer.close(true), connections.close()]));
  }
}

/**
 * A client, and connections that give it batches as they are: the library would unpack them, to any
 * size.
 */
interface Connected {
  readonly consumer: LogConsumer;
  readonly connections: RawFetchConnections;
}

function connect(options: KafkaOptions): Connected {
  const settings = { ...connectionOptions(options), retries: 1, requestTimeout: ANSWER_LIMIT };
  const consumer = new LogConsumer({ ...settings, groupId: CLIENT_ID });
  consumer.topics.track(options.topic);
  consumer.on("error", () => {});
  return { consumer, connections: new RawFetchConnections(CLIENT_ID, settings) };
}

/**
 * The holes that an answer shows from offset `at` on. It says nothing of the log outside its
 * bounds. Ends early with `signal`.
 */
async function holesFrom(
  at: number,
  answer: PartitionAnswer | undefined,
  signal: AbortSignal,
): Promise<Range & { readonly holes: readonly Range[] }> {
  const holes: Range[] = [];
  let [next, end] = [at, at];
  const pass = (from: number, to: number) => {
    if (next < from) holes.push({ from: next, to: from });
    next = Math.max(next, to);
  };
  for (const { batch, counts } of answer === undefined ? [] : judge(answer, answer.batches)) {
    const whole = counts ? batch.whole() : [];
    if (whole === null && batch.firstOffset > at) {
      // What lies before a large batch is known. The batch is unpacked only where it is asked for: a
      // reading is just doing the same, and both together would take too much memory.
      pass(batch.firstOffset, batch.firstOffset);
      return { from: at, to: batch.firstOffset, holes };
    }
    for await (const messages of whole === null ? batch.stream(signal) : [whole]) {
      // A message that cannot be read is there all the same.
      for (const { offset, unreadable } of messages) if (offset >= at) pass(unreadable?.first ?? offset, offset + 1);
      if (holes.length > MOST_HOLES) return { from: at, to: next, holes };
    }
    signal.throwIfAborted();
    end = Math.max(end, batch.lastOffset + 1);
  }
  pass(end, end);
  return { from: at, to: end, holes };
}
