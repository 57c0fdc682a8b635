import { ANSWER_LIMIT } from "../client_settings.ts";
import { UnknownPartitionError } from "../consumer_member.ts";
import { KafkaSetupError, type Positions } from "../kafka.ts";
import { explained, missingTopic } from "../setup_errors.ts";
import { type TopicDescription, topicIdHex, type TopicQuestions } from "../topic.ts";
import { promised } from "./connection.ts";
import { librdkafkaErrors } from "./errors.ts";
import type { Callback, Librdkafka, NativeAdmin, NativeClient, NativeError } from "./library.ts";

/** Error codes: of librdkafka below 0, of the Kafka protocol above. */
const UNKNOWN_PARTITION = -190;
const TOPIC_EXISTS = 36;

/**
 * The isolation level of the Kafka protocol with the messages of transactions that are still open.
 */
const ALL = 0;

type Description = Parameters<Parameters<NativeAdmin["describeTopics"]>[2]>[1][number];
type Offset = Parameters<Parameters<NativeAdmin["listOffsets"]>[2]>[1][number];

/**
 * Asks the brokers about a topic through another client of the library. One question after the
 * other: each holds one of the few threads that also pull messages and resolve names. And none once
 * it is closed: the add-on does not look whether that client is still there, and ends the process
 * where it is not.
 */
export class AdminQueue implements TopicQuestions {
  readonly #admin: NativeAdmin;
  readonly #topic: string;
  readonly #OffsetSpec: Librdkafka["OffsetSpec"];
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(library: Pick<Librdkafka, "AdminClient" | "OffsetSpec">, client: NativeClient, topic: string) {
    this.#admin = library.AdminClient.createFrom(client);
    this.#topic = topic;
    this.#OffsetSpec = library.OffsetSpec;
  }

  async identifyTopic(): Promise<TopicDescription> {
    const topic = this.#topic;
    const [found] = await this.#ask<readonly Description[]>((done) =>
      this.#admin.describeTopics([topic], { timeout: ANSWER_LIMIT }, done)
    );
    if (found === undefined) throw missingTopic(topic);
    if (found.error) throw this.#explained(found.error);
    if (found.partitions.length === 0) throw missingTopic(topic);
    const id = topicIdHex(found.topicId);
    // The other client would name the cluster instead, which this one is not told.
    if (id === null) {
      throw new KafkaSetupError("This Kafka is older than 2.8: use --kafka-client javascript (KAFKA_CLIENT)");
    }
    const leaderless = found.partitions.filter(({ leader }) => leader === null).map(({ partition }) => partition);
    return { id, partitions: found.partitions.length, leaderless };
  }

  async createTopic(partitions: number): Promise<void> {
    const wanted = { topic: this.#topic, num_partitions: partitions, replication_factor: -1 };
    try {
      await this.#ask((done) => this.#admin.createTopic(wanted, ANSWER_LIMIT, done));
    } catch (error) {
      if (codeOf(error) !== TOPIC_EXISTS) throw error;
    }
  }

  /** As `GroupMember.findOffsets` says. */
  async findOffsets(partitions: readonly number[], time: number): Promise<Positions> {
    const topic = this.#topic;
    const questions = partitions.map((partition) => ({ topic, partition, offset: new this.#OffsetSpec(time) }));
    const options = { timeout: ANSWER_LIMIT, isolationLevel: ALL };
    const found = await this.#ask<readonly Offset[]>((done) => this.#admin.listOffsets(questions, options, done));
    return new Map(found.map(({ partition, offset, error }) => {
      if (error) throw this.#explained(error);
      return [partition, offset];
    }));
  }

  /** Resolves when no question is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last;
  }

  async #ask<T>(call: (done: Callback<T>) => void): Promise<T> {
    const answer = this.#last.then(() => {
      if (this.#isClosed) throw new Error("The consumer was closed");
      return promised(call);
    });
    this.#last = answer.catch(() => {});
    try {
      return await answer;
    } catch (error) {
      throw this.#explained(error);
    }
  }

  #explained(error: unknown): Error {
    const plain = explained(error, this.#topic, librdkafkaErrors);
    return codeOf(error) === UNKNOWN_PARTITION ? new UnknownPartitionError(plain.message, { cause: error }) : plain;
  }
}

/** The code of an error of the library, explained or not. */
function codeOf(error: unknown): number | undefined {
  const { code, cause } = Object(error) as Partial<NativeError>;
  return code ?? (Object(cause) as Partial<NativeError>).code;
}
