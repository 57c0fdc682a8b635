import {
  Base,
  compatibilityPartitioner,
  type Connection,
  initProducerIdV0,
  initProducerIdV1,
  initProducerIdV2,
  initProducerIdV3,
  initProducerIdV4,
  initProducerIdV5,
  type MessageRecord,
  NumericMap,
  produceV10,
  produceV11,
  produceV3,
  produceV4,
  produceV5,
  produceV6,
  produceV7,
  produceV8,
  produceV9,
} from "@platformatic/kafka";
import type { Compression } from "../../config/setting_types.ts";
import type { ProducerOptions } from "../kafka.ts";
import { missingTopic } from "../setup_errors.ts";
import { connectionOptions } from "./connection.ts";

/** Milliseconds that a broker may wait for its replicas, and that an answer may take in all. */
const REPLICAS_LIMIT = 10_000;
const REQUEST_LIMIT = 15_000;
/** Kafka's sign for "every in-sync replica". */
const ALL_REPLICAS = -1;

/**
 * A producer as the brokers know it. They tell batches of one id apart by the numbers of their
 * messages.
 */
export interface Identity {
  readonly id: bigint;
  readonly epoch: number;
}

/** Messages of one partition in one batch, with the number of the first. */
export interface Batch {
  readonly partition: number;
  readonly records: MessageRecord[];
  readonly identity: Identity;
  readonly sequence: number;
}

/** A broker's answer for one batch. Code 0: the batch is in the topic. */
export interface ProduceAnswer {
  readonly code: number;
  readonly detail: string;
}

/** The node of each partition's leader, undefined where there is none. */
export type Leaders = readonly (number | undefined)[];

type ProduceApi = typeof produceV3.api | typeof produceV9.api | typeof produceV11.api;
const PRODUCE: readonly ProduceApi[] = [
  produceV11.api,
  produceV10.api,
  produceV9.api,
  produceV8.api,
  produceV7.api,
  produceV6.api,
  produceV5.api,
  produceV4.api,
  produceV3.api,
];
const INIT_PRODUCER_ID = [
  initProducerIdV5.api,
  initProducerIdV4.api,
  initProducerIdV3.api,
  initProducerIdV2.api,
  initProducerIdV1.api,
  initProducerIdV0.api,
] as const;

/**
 * The requests of a producer, each made once. Deliberately not the library's own producer: after a
 * failure it takes another id, under which the broker takes the same messages once more. And it
 * repeats a request to the leader of its first partition, whatever node leads the others by then.
 */
export class ProduceRequests {
  readonly #client: Base;
  readonly #topic: string;
  readonly #compression: Compression;
  #versions: ReadonlyMap<string, { readonly minVersion: number; readonly maxVersion: number }> | undefined;

  constructor(options: ProducerOptions) {
    this.#client = new Base({ ...connectionOptions(options), retries: 0, requestTimeout: REQUEST_LIMIT });
    this.#topic = options.topic;
    this.#compression = options.compression ?? "lz4";
  }

  /**
   * Throws a `MissingTopicError` where no broker knows the topic. `fresh`: asks even where a recent
   * answer is at hand.
   */
  async leaders(fresh: boolean): Promise<Leaders> {
    const { topics } = await this.#client.metadata({ topics: [this.#topic], forceUpdate: fresh });
    const found = topics.get(this.#topic);
    if (found === undefined || found.partitionsCount === 0) throw missingTopic(this.#topic);
    return found.partitions.map(({ leader }) => leader < 0 ? undefined : leader);
  }

  async newIdentity(): Promise<Identity> {
    const api = await this.#newest("InitProducerId", INIT_PRODUCER_ID);
    const connection = await this.#client.connections.getFirstAvailable(await this.#brokers());
    // Without transactions their time limit means nothing, but it must be valid.
    const { producerId, producerEpoch } = await api.async(connection, null, REQUEST_LIMIT, -1n, -1);
    return { id: producerId, epoch: producerEpoch };
  }

  /**
   * Sends batches of one identity to the leader of their partitions, and gives its answer for each
   * partition.
   */
  async produce(node: number, batches: readonly Batch[]): Promise<ReadonlyMap<number, ProduceAnswer>> {
    const { brokers } = await this.#client.metadata({ topics: [this.#topic] });
    const api = await this.#newest("Produce", PRODUCE);
    // The library throws for a node that has just left.
    const connection = await this.#client.connections.get(brokers.get(node) as { host: string; port: number });
    return answers(await this.#request(api, connection, batches));
  }

  async #request(api: ProduceApi, connection: Connection, batches: readonly Batch[]): Promise<unknown> {
    const { identity: { id, epoch } } = batches[0] as Batch;
    const sequences = new NumericMap(
      batches.map(({ partition, sequence }) => [`${this.#topic}:${partition}`, sequence] as const),
    );
    const options = { compression: this.#compression, producerId: id, producerEpoch: epoch, sequences };
    const records = batches.flatMap(({ records }) => records);
    try {
      return await api.async(connection, ALL_REPLICAS, REPLICAS_LIMIT, records, options);
    } catch (error) {
      // The library makes an error of the whole answer where one partition has one.
      const { response } = Object(error) as { readonly response?: unknown };
      if (response === undefined) throw error;
      return response;
    }
  }

  async #newest<A extends { readonly version: number }>(name: string, candidates: readonly A[]): Promise<A> {
    this.#versions ??= new Map((await this.#client.listApis()).map((api) => [api.name, api]));
    const { minVersion, maxVersion } = this.#versions.get(name) ?? { minVersion: 0, maxVersion: -1 };
    const found = candidates.find(({ version }) => minVersion <= version && version <= maxVersion);
    if (found !== undefined) return found;
    this.#versions = undefined;
    throw new Error(`The broker has no version of ${name} that is known here`);
  }

  async #brokers() {
    const { brokers } = await this.#client.metadata({ topics: [this.#topic] });
    return [...brokers.values()];
  }

  /** Ends the connections. Requests under way fail. */
  async close(): Promise<void> {
    await this.#client.close();
  }
}

/**
 * The partition of a message by its key. As Java by default, and librdkafka's murmur2_random. The
 * library's own default differs for a negative hash.
 */
export function partitionOf(key: string, partitions: number): number {
  const bytes = Buffer.from(key);
  return compatibilityPartitioner({ topic: "", key: bytes, value: bytes }, bytes) % partitions;
}

interface ProduceResponse {
  readonly responses?: readonly {
    readonly partitionResponses?: readonly {
      readonly index: number;
      readonly errorCode: number;
      readonly errorMessage?: string | null;
      readonly recordErrors?: readonly { readonly batchIndexErrorMessage?: string | null }[];
    }[];
  }[];
}

function answers(response: unknown): ReadonlyMap<number, ProduceAnswer> {
  const all = (response as ProduceResponse).responses?.flatMap((topic) => topic.partitionResponses ?? []) ?? [];
  return new Map(all.map(({ index, errorCode, errorMessage, recordErrors }) => {
    const detail = errorMessage ?? recordErrors?.[0]?.batchIndexErrorMessage ?? "";
    return [index, { code: errorCode, detail }];
  }));
}
