import type { MessageRecord } from "@platformatic/kafka";
import { pause } from "../../async/retry.ts";
import { unlessAborted } from "../../async/waits.ts";
import type { KafkaProducer, OutgoingMessage, ProducerOptions } from "../kafka.ts";
import { describeError, DUPLICATE_SEQUENCE_NUMBER, type ProduceError, produceError } from "../produce_errors.ts";
import { closedInTime } from "../client_settings.ts";
import { MissingTopicError } from "../setup_errors.ts";
import { notTaking, reportingIfSlow, type StatusReporter, TAKING } from "../status_reporter.ts";
import { undelivered } from "../undelivered.ts";
import { javascriptErrors } from "./errors.ts";
import {
  type Batch,
  type Identity,
  type Leaders,
  partitionOf,
  type ProduceAnswer,
  ProduceRequests,
} from "./produce.ts";

/**
 * Bytes of one request: all may be for one partition, and by default a broker takes 1 MiB for each.
 */
const REQUEST_BYTES = 512 * 1024;
/**
 * Milliseconds that a running producer waits for a topic that a broker does not know: a broker that
 * starts may learn of it late.
 */
const MISSING_LIMIT = 30_000;
/** The number after this one is 0: Kafka's numbers of messages have 31 bits. */
const LAST_SEQUENCE = 2 ** 31 - 1;

/** Messages of one partition that wait for their broker's answer. */
interface UnansweredMessages {
  readonly partition: number;
  readonly messages: readonly OutgoingMessage[];
  readonly records: MessageRecord[];
}

/** The id for messages of a partition, and the number of the next message. */
interface Numbering {
  readonly identity: Identity;
  readonly next: number;
}

/**
 * Sends with Kafka's idempotent protocol, one batch a partition at a time, which keeps the order. A
 * batch whose answer was lost goes again under the same id and number until an answer comes: the
 * broker recognises it.
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
      await reportingIfSlow(this.#sendChunk(chunk, errors), this.#status);
    }
    if (errors.size > 0) throw undelivered(errors, this.#status);
    this.#status.settle(TAKING);
  }

  /** Sends the messages of one request until all have an answer; notes refused ones in `errors`. */
  async #sendChunk(chunk: readonly OutgoingMessage[], errors: Map<OutgoingMessage, ProduceError>): Promise<void> {
    const { signal } = this.#closing;
    let waiting: readonly UnansweredMessages[] | undefined;
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
  #sort(chunk: readonly OutgoingMessage[], partitions: number): readonly UnansweredMessages[] {
    const sorted = Map.groupBy(chunk, ({ key }) => partitionOf(key, partitions));
    return [...sorted].map(([partition, messages]) => {
      return { partition, messages, records: messages.map((message) => record(this.#topic, partition, message)) };
    });
  }

  /** Sends to each leader once; gives the messages that no answer has settled. */
  async #sendOnce(
    waiting: readonly UnansweredMessages[],
    leaders: Leaders,
    errors: Map<OutgoingMessage, ProduceError>,
  ): Promise<readonly UnansweredMessages[]> {
    const batches = new Map<Batch, UnansweredMessages>();
    for (const one of waiting) {
      // The topic was made again with fewer partitions: the messages belong into others now.
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

  async #batch({ partition, records }: UnansweredMessages): Promise<Batch> {
    const { identity, next } = this.#numberings.get(partition) ??
      { identity: this.#identity ??= await this.#requests.newIdentity(), next: 0 };
    this.#numberings.set(partition, { identity, next });
    return { partition, records, identity, sequence: next };
  }

  /** The answers of one leader. Tells of a leader that gives none. */
  async #ask(leader: number | undefined, batches: readonly Batch[]): Promise<ReadonlyMap<number, ProduceAnswer>> {
    try {
      if (leader === undefined) throw new Error(`nobody leads partition ${batches[0]?.partition}`);
      return await this.#requests.produce(leader, batches);
    } catch (error) {
      this.#consider(error);
      return new Map();
    }
  }

  /** True where a batch is done: it is in the topic, or refused. */
  #isSettled(
    { partition, identity, sequence, records }: Batch,
    waiting: UnansweredMessages,
    answer: ProduceAnswer | undefined,
    errors: Map<OutgoingMessage, ProduceError>,
  ): boolean {
    if (answer === undefined) return false;
    if (answer.code === 0 || answer.code === DUPLICATE_SEQUENCE_NUMBER) {
      this.#numberings.set(partition, { identity, next: following(sequence, records.length) });
      return true;
    }
    const error = produceError(answer.code, answer.detail);
    if (error.remedy === "wait") this.#status.report(notTaking(describeError(error)));
    else if (error.remedy === "renew") this.#renumber(partition);
    else note(errors, waiting, error);
    return error.remedy !== "wait" && error.remedy !== "renew";
  }

  /**
   * The next try has a new id. Other partitions keep theirs: messages on their way there must not
   * come twice.
   */
  #renumber(partition: number): void {
    this.#numberings.delete(partition);
    this.#identity = undefined;
  }

  /** Tells why there is no answer. Throws an error that no waiting mends. */
  #consider(error: unknown): void {
    const setup = javascriptErrors.setupError(error, this.#topic);
    if (setup instanceof MissingTopicError) {
      this.#missingSince ??= performance.now();
      if (performance.now() - this.#missingSince > MISSING_LIMIT) throw setup;
    } else if (setup !== null) throw setup;
    this.#status.report(notTaking(javascriptErrors.reason(error)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the producer was closed"));
    await closedInTime(this.#requests.close());
  }
}

/** The messages from `start` on that fit one request: at least one. */
function nextChunk(messages: readonly OutgoingMessage[], start: number): readonly OutgoingMessage[] {
  let bytes = 0;
  let end = start;
  while (end < messages.length && (end === start || bytes < REQUEST_BYTES)) {
    const { key, value } = messages[end++] as OutgoingMessage;
    // At most three bytes a UTF-16 unit. The rest of a record is far smaller than the room that is
    // left.
    bytes += (key.length + value.length) * 3;
  }
  return messages.slice(start, end);
}

function record(topic: string, partition: number, { key, value, timestamp }: OutgoingMessage): MessageRecord {
  const headers = new Map<Buffer, Buffer>();
  return { topic, partition, key: Buffer.from(key), value: Buffer.from(value), timestamp: BigInt(timestamp), headers };
}

function following(sequence: number, count: number): number {
  return (sequence + count) % (LAST_SEQUENCE + 1);
}

function note(errors: Map<OutgoingMessage, ProduceError>, { messages }: UnansweredMessages, error: ProduceError): void {
  for (const message of messages) errors.set(message, error);
}
