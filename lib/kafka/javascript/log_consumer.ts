import { type API, type Callback, Consumer, kGetApi } from "@platformatic/kafka";
import type { ConsumerOptions, LogPosition, Positions } from "../kafka.ts";
import { connectionOptions } from "./connection.ts";
import { leaves } from "./errors.ts";

/**
 * Bytes of one answer, and of one partition in it: a consumer holds them in memory beside the batch
 * being stored.
 */
export const FETCH_BYTES = 1024 * 1024;
export const PARTITION_BYTES = 128 * 1024;

/**
 * One partition of a fetch request. When the library tries a request again, it sets both epochs to
 * -1. `lastFetchedEpoch` must keep its value, since by it the broker notices a log that was cut. So
 * its setter does nothing.
 */
export function fetchFrom(partition: number, { offset, epoch }: LogPosition, currentLeaderEpoch: number) {
  return {
    partition,
    fetchOffset: BigInt(offset),
    partitionMaxBytes: PARTITION_BYTES,
    currentLeaderEpoch,
    get lastFetchedEpoch() {
      return epoch ?? -1;
    },
    set lastFetchedEpoch(_) {
      // Deliberately nothing: see above.
    },
  };
}

/** How often the library tries a request before it fails: a new reading is cheap. */
export const RETRIES = 3;

/**
 * The library's consumer with one answer changed: a topic with a partition that has no leader is no
 * failure. The others can be read.
 */
export class LogConsumer extends Consumer {
  override [kGetApi]<Request extends unknown[], Response>(name: string, done: Callback<API<Request, Response>>): void {
    super[kGetApi]<Request, Response>(name, (error, api) => {
      done(error, error || api === undefined || name !== "Metadata" ? api : forgiving(api));
    });
  }
}

/**
 * A client that joins no group: it only fetches.
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

/** The first offset at a time or later of each of these partitions, below 0 if there is none. */
export async function offsetsAt(
  client: LogConsumer,
  topic: string,
  partitions: readonly number[],
  time: number,
): Promise<Positions> {
  const asked = { topics: [topic], partitions: { [topic]: [...partitions] } };
  // 0: of all messages, also those of transactions that are still open.
  const answer = await client.listOffsets({ ...asked, timestamp: BigInt(time), isolationLevel: 0 });
  // The library gives an array with a place for each partition of the topic; those that were not
  // asked for are empty.
  const found = answer.get(topic) ?? [];
  return new Map(partitions.flatMap((partition) => {
    const offset = found[partition];
    return offset === undefined ? [] : [[partition, Number(offset)] as const];
  }));
}

/** The same question, whose answer is changed by `forgiveLeaderless`. */
function forgiving<Request extends unknown[], Response>(api: API<Request, Response>): API<Request, Response> {
  const ask = (...args: unknown[]) => {
    const done = args.at(-1) as (error: Error | null, response: unknown) => void;
    const answer = (error: Error | null, response: unknown) => done(...forgiveLeaderless(error, response));
    (api as unknown as (...args: unknown[]) => void)(...args.slice(0, -1), answer);
  };
  const { async, key, version } = api;
  return Object.assign(ask, { async, key, version }) as unknown as API<Request, Response>;
}

/** Takes an error of single partitions for an answer, which says which of them have no leader. */
function forgiveLeaderless(error: Error | null, response: unknown): [error: Error | null, response: unknown] {
  const found = response ?? (error as { readonly response?: unknown } | null)?.response;
  const isOfPartitions = error !== null && found !== undefined &&
    leaves(error).every((leaf) => /^\/topics\/\d+\/partitions\//.test((leaf as { path?: string }).path ?? ""));
  return isOfPartitions ? [null, found] : [error, response];
}
