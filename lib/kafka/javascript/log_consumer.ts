import { type API, type Callback, Consumer, kGetApi } from "@platformatic/kafka";
import type { ConsumerOptions } from "../kafka.ts";
import { connectionOptions } from "./connection.ts";
import { leaves } from "./errors.ts";

/**
 * Bytes of one answer, and of one partition in it: a consumer holds them in memory beside the batch
 * being stored.
 */
export const FETCH_BYTES = 1024 * 1024;
export const PARTITION_BYTES = 128 * 1024;

/**
 * Where to read a partition from. `epoch`: the leader's under which the message before `offset` was
 * written, or -1.
 */
export interface FetchPosition {
  readonly partition: number;
  readonly offset: number;
  readonly epoch: number;
}

/**
 * One partition of a fetch request. When the library tries a request again, it sets both epochs to
 * -1. `lastFetchedEpoch` must keep its value, since by it the broker notices a log that was cut. So
 * its setter does nothing.
 */
export function fetchFrom({ partition, offset, epoch }: FetchPosition, currentLeaderEpoch: number) {
  return {
    partition,
    fetchOffset: BigInt(offset),
    partitionMaxBytes: PARTITION_BYTES,
    currentLeaderEpoch,
    get lastFetchedEpoch() {
      return epoch;
    },
    set lastFetchedEpoch(_) {
      // Deliberately nothing: see above.
    },
  };
}

/** How often the library tries a request before it fails: a new reading is cheap. */
export const RETRIES = 3;

/**
 * The library's consumer with two answers changed. A topic with a partition that has no leader is
 * no failure: the others can be read. And a committed offset comes with its leader's epoch.
 */
export class LogConsumer extends Consumer {
  /**
   * Hears of each committed offset that a broker gave, with the leader's epoch of the message
   * before it; below 0 if unknown.
   */
  onCommitted: (partition: number, offset: number, epoch: number) => void = () => {};

  override [kGetApi]<Request extends unknown[], Response>(name: string, done: Callback<API<Request, Response>>): void {
    const change = name === "OffsetFetch" ? this.#hearCommitted : CHANGES[name];
    super[kGetApi]<Request, Response>(name, (error, api) => {
      done(error, error || api === undefined || change === undefined ? api : changed(api, change));
    });
  }

  readonly #hearCommitted: Change = (error, response) => {
    const { groups = [] } = (response ?? {}) as Committed;
    for (const one of groups.flatMap(({ topics }) => topics).flatMap(({ partitions }) => partitions)) {
      this.onCommitted(one.partitionIndex, Number(one.committedOffset), one.committedLeaderEpoch);
    }
    return [error, response];
  };
}

/**
 * A client that joins no group. It only asks for the committed offsets of the group in `options`.
 */
export function fetchingClient(options: ConsumerOptions): LogConsumer {
  const client = new LogConsumer({
    ...connectionOptions(options),
    groupId: options.group,
    autocommit: false,
    retries: RETRIES,
  });
  client.topics.track(options.topic);
  // Whoever asks hears of an error. Without a listener it would end the process.
  client.on("error", () => {});
  return client;
}

/** The answer to `OffsetFetch`, as far as it is of use here. */
interface Committed {
  readonly groups?: readonly { readonly topics: readonly { readonly partitions: readonly CommittedPartition[] }[] }[];
}

interface CommittedPartition {
  readonly partitionIndex: number;
  readonly committedOffset: bigint;
  readonly committedLeaderEpoch: number;
}

/** Changes an answer, or an error. */
type Change = (error: Error | null, response: unknown) => [error: Error | null, response: unknown];

const CHANGES: Readonly<Record<string, Change | undefined>> = { Metadata: forgiveLeaderless };

function changed<Request extends unknown[], Response>(
  api: API<Request, Response>,
  change: Change,
): API<Request, Response> {
  const ask = (...args: unknown[]) => {
    const done = args.at(-1) as (error: Error | null, response: unknown) => void;
    const answer = (error: Error | null, response: unknown) => done(...change(error, response));
    (api as unknown as (...args: unknown[]) => void)(...args.slice(0, -1), answer);
  };
  const { async, key, version } = api;
  return Object.assign(ask, { async, key, version }) as unknown as API<Request, Response>;
}

/** Takes an error of single partitions for an answer, which says which of them have no leader. */
function forgiveLeaderless(error: Error | null, response: unknown): ReturnType<Change> {
  const found = response ?? (error as { readonly response?: unknown } | null)?.response;
  const isOfPartitions = error !== null && found !== undefined &&
    leaves(error).every((leaf) => /^\/topics\/\d+\/partitions\//.test((leaf as { path?: string }).path ?? ""));
  return isOfPartitions ? [null, found] : [error, response];
}
