import { unlessAborted } from "../../async/waits.ts";
import { CLIENT_ID } from "../client_settings.ts";
import type { IncomingMessage, KafkaOptions, LogPosition } from "../kafka.ts";
import { LATEST } from "../offsets.ts";
import { identifyTopic } from "./connection.ts";
import { Fetcher } from "./fetch.ts";
import { fetchingClient, type LogConsumer, offsetsAt } from "./log_consumer.ts";

/** The time that means the newest message of a partition: Kafka's protocol (KIP-734). */
const NEWEST = -3n;

/**
 * The messages of partitions from `window` milliseconds before the newest of each up to the present
 * end. Joins no group. Rejects when `signal` aborts, or where a broker cannot be asked.
 */
export async function* readLogTail(
  options: KafkaOptions,
  partitions: readonly number[],
  window: number,
  signal: AbortSignal,
): AsyncGenerator<readonly IncomingMessage[], void> {
  const client = fetchingClient({ ...options, group: CLIENT_ID, start: "earliest" });
  const isRead = new AbortController();
  try {
    const { id, partitions: count } = await unlessAborted(identifyTopic(client, options.topic), signal);
    const ends = await unlessAborted(offsetsAt(client, options.topic, partitions, LATEST), signal);
    const starts = await unlessAborted(
      Promise.all(partitions.map((partition) => startOf(client, options.topic, partition, window))),
      signal,
    );
    const left = new Map<number, number>();
    const positions = new Map<number, LogPosition>();
    for (const [at, partition] of partitions.entries()) {
      const [start = -1, end = 0] = [starts[at], ends.get(partition)];
      if (start < 0 || start >= end) continue;
      positions.set(partition, { offset: start, epoch: null });
      left.set(partition, end);
    }
    if (left.size === 0) return;
    const assigned = [...left].map(([partition, logEnd]) => ({ partition, logStart: 0, logEnd }));
    const assignment = { topic: options.topic, topicId: id, partitions: assigned };
    const stop = AbortSignal.any([signal, isRead.signal]);
    const fetched = { assignment, partitions: count };
    for await (const messages of new Fetcher(client, options, fetched, positions, stop).messages()) {
      yield messages;
      for (const { partition, offset } of messages) {
        if (offset + 1 >= (left.get(partition) ?? 0)) left.delete(partition);
      }
      if (left.size === 0) return;
    }
    signal.throwIfAborted();
  } finally {
    isRead.abort();
    void client.close(true).catch(() => {});
  }
}

/** The offset to read from; below 0 where there is nothing to read. */
async function startOf(client: LogConsumer, topic: string, partition: number, window: number): Promise<number> {
  const asked = { topics: [topic], partitions: { [topic]: [partition] }, timestamp: NEWEST, isolationLevel: 0 };
  const newest = (await client.listOffsetsWithTimestamps(asked)).get(topic)?.get(partition);
  if (newest === undefined || newest.offset < 0n) return -1;
  const time = Math.max(0, Number(newest.timestamp) - window);
  return (await offsetsAt(client, topic, [partition], time)).get(partition) ?? -1;
}
