import type { KafkaOptions } from "../kafka.ts";
import { ANSWER_LIMIT, CLIENT_ID, CLOSE_LIMIT, PARTITION_BYTES, within } from "../kafka/setup.ts";
import { topicIdHex } from "../kafka/topic_id.ts";
import { judge, lastOffset } from "./batches.ts";
import { connectionOptions } from "./connection.ts";
import { fetchFrom, LogConsumer, type PartitionAnswer, type Place } from "./log_consumer.ts";

/** Milliseconds that a broker may wait for messages that are not there yet. */
const LONGEST_POLL = 100;
/** `read_committed`: Kafka's protocol. */
const READ_COMMITTED = 1;

/** Offsets from one to another (not included). */
interface Range {
  readonly from: number;
  readonly to: number;
}

/** What one answer showed of a partition: its bounds, and the holes between the messages in it. */
interface View extends Range {
  readonly topicId: string;
  readonly partition: number;
  readonly holes: readonly Range[];
}

/**
 * Looks at logs a second time, over connections of its own and without a group, for what a first reading left open. One
 * answer holds many holes, and is kept until the next one is asked for: a log full of holes is read twice, not anew for each.
 */
export class SecondLook implements AsyncDisposable {
  readonly #options: KafkaOptions;
  #consumer: LogConsumer | undefined;
  #view: View | undefined;

  constructor(options: KafkaOptions) {
    this.#options = options;
  }

  /** True where the log holds no message that counts from offset `from` to `to` (not included). Rejects where nobody can say. */
  async isHole(topicId: string, partition: number, from: number, to: number): Promise<boolean> {
    for (let at = from; at < to;) {
      const view = await this.#viewAt(topicId, partition, at);
      const hole = view.holes.find((hole) => hole.from <= at && at < hole.to);
      if (hole === undefined) return false;
      at = hole.to;
    }
    return true;
  }

  /** Where the log was cut below `position`, if what stood before it was written under `epoch`; null where it was not. */
  async cutAt(topicId: string, partition: number, position: number, epoch: number): Promise<number | null> {
    const answer = await this.#fetch(topicId, { partition, offset: position, epoch });
    const { endOffset } = answer?.divergingEpoch ?? { endOffset: -1n };
    return endOffset >= 0n && endOffset < position ? Number(endOffset) : null;
  }

  async #viewAt(topicId: string, partition: number, at: number): Promise<View> {
    const view = this.#view;
    const isSame = view?.topicId === topicId && view.partition === partition;
    if (view !== undefined && isSame && view.from <= at && at < view.to) return view;
    const answer = await this.#fetch(topicId, { partition, offset: at, epoch: -1 });
    return this.#view = { topicId, partition, ...holesFrom(at, answer) };
  }

  async #fetch(topicId: string, place: Place): Promise<PartitionAnswer | undefined> {
    const { partition } = place;
    const { topic } = this.#options;
    const consumer = this.#open();
    const found = (await consumer.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic);
    const [id, leader] = [found?.id ?? "", found?.partitions[partition]];
    const isOther = topicIdHex(id) !== null && topicIdHex(id) !== topicId;
    if (leader === undefined || leader.leader < 0 || isOther) throw new Error(`Nobody leads partition ${partition}`);
    const asked = fetchFrom(place, leader.leaderEpoch);
    const answer = await consumer.fetch({
      node: leader.leader,
      topics: [{ topicId: id, partitions: [asked] }],
      maxWaitTime: LONGEST_POLL,
      minBytes: 1,
      maxBytes: PARTITION_BYTES,
      isolationLevel: READ_COMMITTED,
    });
    return answer.responses.flatMap(({ partitions }) => partitions).find((one) => one.partitionIndex === partition);
  }

  #open(): LogConsumer {
    if (this.#consumer !== undefined) return this.#consumer;
    const settings = { groupId: CLIENT_ID, retries: 1, requestTimeout: ANSWER_LIMIT };
    this.#consumer = new LogConsumer({ ...connectionOptions(this.#options), ...settings });
    this.#consumer.topics.track(this.#options.topic);
    this.#consumer.on("error", () => {});
    return this.#consumer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer !== undefined) await within(CLOSE_LIMIT, consumer.close(true));
  }
}

/** The holes that an answer shows from offset `at` on: nothing else may be said of what lies outside of it. */
function holesFrom(at: number, answer: PartitionAnswer | undefined): Range & { readonly holes: readonly Range[] } {
  const holes: Range[] = [];
  let [next, end] = [at, at];
  const pass = (from: number, to: number) => {
    if (next < from) holes.push({ from: next, to: from });
    next = Math.max(next, to);
  };
  for (const { batch, counts } of answer === undefined ? [] : judge(answer)) {
    const first = Number(batch.firstOffset);
    const offsets = counts ? batch.records.map(({ offsetDelta }) => first + offsetDelta) : [];
    for (const offset of offsets) if (offset >= at) pass(offset, offset + 1);
    end = Math.max(end, lastOffset(batch) + 1);
  }
  pass(end, end);
  return { from: at, to: end, holes };
}
