import { compatibilityPartitioner, type MessageRecord } from "@platformatic/kafka";
import { pause } from "../../async/retry.ts";
import { unlessAborted } from "../../async/waits.ts";
import type { KafkaProducer, OutgoingMessage, ProducerOptions } from "../kafka.ts";
import { describeError, DUPLICATE_SEQUENCE_NUMBER, type ProduceError, produceError } from "../produce_errors.ts";
import { CLOSE_LIMIT, MISSING_LIMIT, MissingTopicError, type StatusReporter, within } from "../setup.ts";
import { notTaken, TAKEN, tellingWhereSlow, undelivered } from "../undelivered.ts";
import { asSetupError, reason } from "./connection.ts";
import { type Batch, type Identity, type Leaders, type ProduceAnswer, ProduceRequests } from "./produce.ts";

/** Bytes of one request: all of it may be of one partition, and a broker takes 1 MiB of that by default. */
const REQUEST_BYTES = 512 * 1024;
/** A larger one begins at 0 again: Kafka's numbers of messages have 31 bits. */
const LAST_SEQUENCE = 2 ** 31 - 1;

/** What of one partition waits for its broker's answer. */
interface Waiting {
  readonly partition: number;
  readonly messages: readonly OutgoingMessage[];
  readonly records: MessageRecord[];
}

/** Under which id, and from which number on, messages of a partition are sent. */
interface Numbering {
  readonly identity: Identity;
  readonly next: number;
}

/**
 * Sends with Kafka's idempotent protocol, one batch a partition at a time: that keeps the order. A
 * batch whose answer was lost is sent again under the same id and number until there is one, so
 * that the broker recognises it.
 */
export class JavascriptProducer implements KafkaProducer {
  readonly #topic: string;
  readonly #status: StatusReporter;
  readonly #requests: ProduceRequests;
  readonly #closing = new AbortController();
  readonly #numberings = new Map<number, Numbering>();
  #identity: Identity | undefined;
  #missingSince: number | undefined;

  constructor(options: ProducerOptions, status: StatusReporter) {
    this.#topic = options.topic;
    this.#status = status;
    this.#requests = new ProduceRequests(options);
  }

  async send(messages: readonly OutgoingMessage[]): Promise<void> {
    const errors = new Map<OutgoingMessage, ProduceError>();
    for (let sent = 0; sent < messages.length;) {
      const chunk = nextChunk(messages, sent);
      sent += chunk.length;
      await tellingWhereSlow(this.#sendChunk(chunk, errors), this.#status);
    }
    if (errors.size > 0) throw undelivered(errors, this.#status);
    this.#status.settle(TAKEN);
  }

  /** Sends what fits one request, until there is an answer for all of it; notes in `errors` what is refused. */
  async #sendChunk(chunk: readonly OutgoingMessage[], errors: Map<OutgoingMessage, ProduceError>): Promise<void> {
    const { signal } = this.#closing;
    let waiting: readonly Waiting[] | undefined;
    for (let attempt = 0; waiting === undefined || waiting.length > 0; attempt++) {
      if (attempt > 0) await pause(attempt, signal);
      signal.throwIfAborted();
      try {
        const leaders = await unlessAborted(this.#requests.leaders(attempt > 0), signal);
        this.#missingSince = undefined;
        waiting ??= this.#sort(chunk, leaders.length);
        waiting = await unlessAborted(this.#sendOnce(waiting, leaders, errors), signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#consider(error);
      }
    }
  }

  /** The messages by partition. */
  #sort(chunk: readonly OutgoingMessage[], partitions: number): readonly Waiting[] {
    const sorted = Map.groupBy(chunk, ({ key }) => partitionOf(key, partitions));
    return [...sorted].map(([partition, messages]) => {
      return { partition, messages, records: messages.map((message) => record(this.#topic, partition, message)) };
    });
  }

  /** Asks each leader once; gives what has no answer that settles it. */
  async #sendOnce(
    waiting: readonly Waiting[],
    leaders: Leaders,
    errors: Map<OutgoingMessage, ProduceError>,
  ): Promise<readonly Waiting[]> {
    const batches = new Map<Batch, Waiting>();
    for (const one of waiting) {
      // A topic that was made again with fewer partitions: the messages belong into others now.
      if (one.partition >= leaders.length) note(errors, one, produceError(3, "the partition is gone"));
      else batches.set(await this.#batch(one), one);
    }
    const requests = Map.groupBy(batches.keys(), ({ partition, identity }) => `${leaders[partition]}/${identity.id}`);
    const answers = await Promise.all(
      [...requests.values()].map((group) => this.#ask(leaders[group[0]?.partition ?? 0], group)),
    );
    const answerFor = ({ partition }: Batch) => answers.find((found) => found.has(partition))?.get(partition);
    return [...batches].filter(([batch, one]) => !this.#isSettled(batch, one, answerFor(batch), errors)).map((
      [, one],
    ) => one);
  }

  async #batch({ partition, records }: Waiting): Promise<Batch> {
    const { identity, next } = this.#numberings.get(partition) ??
      { identity: this.#identity ??= await this.#requests.newIdentity(), next: 0 };
    this.#numberings.set(partition, { identity, next });
    return { partition, records, identity, sequence: next };
  }

  /** The answers of one leader; none where it gave none, which is told. */
  async #ask(leader: number | undefined, batches: readonly Batch[]): Promise<ReadonlyMap<number, ProduceAnswer>> {
    try {
      if (leader === undefined) throw new Error(`nobody leads partition ${batches[0]?.partition}`);
      return await this.#requests.produce(leader, batches);
    } catch (error) {
      this.#consider(error);
      return new Map();
    }
  }

  /** True where nothing is left to do for a batch: it is in the topic, or refused. */
  #isSettled(
    { partition, identity, sequence, records }: Batch,
    waiting: Waiting,
    answer: ProduceAnswer | undefined,
    errors: Map<OutgoingMessage, ProduceError>,
  ): boolean {
    if (answer === undefined) return false;
    if (answer.code === 0 || answer.code === DUPLICATE_SEQUENCE_NUMBER) {
      this.#numberings.set(partition, { identity, next: following(sequence, records.length) });
      return true;
    }
    const error = produceError(answer.code, answer.detail);
    if (error.remedy === "wait") this.#status.report(notTaken(describeError(error)));
    else if (error.remedy === "renew") this.#renumber(partition);
    else note(errors, waiting, error);
    return error.remedy !== "wait" && error.remedy !== "renew";
  }

  /** The next try has a new id. The other partitions keep theirs: what is on its way there must not come twice. */
  #renumber(partition: number): void {
    this.#numberings.delete(partition);
    this.#identity = undefined;
  }

  /** Tells why there is no answer. Throws what no waiting mends. */
  #consider(error: unknown): void {
    const setup = asSetupError(error, this.#topic);
    if (setup instanceof MissingTopicError) {
      this.#missingSince ??= performance.now();
      if (performance.now() - this.#missingSince > MISSING_LIMIT) throw setup;
    } else if (setup !== null) throw setup;
    this.#status.report(notTaken(reason(error)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the producer was closed"));
    await within(CLOSE_LIMIT, this.#requests.close());
  }
}

/** The messages from `start` on that fit one request: at least one. */
function nextChunk(messages: readonly OutgoingMessage[], start: number): readonly OutgoingMessage[] {
  let bytes = 0;
  let end = start;
  while (end < messages.length && (end === start || bytes < REQUEST_BYTES)) {
    const { key, value } = messages[end++] as OutgoingMessage;
    // At most three bytes a UTF-16 unit; what a record costs beside its content is far below the slack.
    bytes += (key.length + value.length) * 3;
  }
  return messages.slice(start, end);
}

function record(topic: string, partition: number, { key, value, timestamp }: OutgoingMessage): MessageRecord {
  const headers = new Map<Buffer, Buffer>();
  return { topic, partition, key: Buffer.from(key), value: Buffer.from(value), timestamp: BigInt(timestamp), headers };
}

/** Java's default, and librdkafka's murmur2_random: the library's own default differs where the hash is negative. */
function partitionOf(key: string, partitions: number): number {
  const bytes = Buffer.from(key);
  return compatibilityPartitioner({ topic: "", key: bytes, value: bytes }, bytes) % partitions;
}

function following(sequence: number, count: number): number {
  return (sequence + count) % (LAST_SEQUENCE + 1);
}

function note(errors: Map<OutgoingMessage, ProduceError>, { messages }: Waiting, error: ProduceError): void {
  for (const message of messages) errors.set(message, error);
}
