import type { Consumer } from "@platformatic/kafka";
import { expect, it } from "vitest";
import { Epochs } from "../lib/kafka/epochs.ts";
import { Fetcher } from "../lib/kafka_javascript/fetch.ts";

// What a frozen broker does, at a moment that a real one cannot be made to hit: the library's memory of the leaders is used up.

const options = { bootstrapServers: ["127.0.0.1:1"], topic: "t" };
const partitions = [{ partition: 0, logStart: 0, logEnd: 0 }];
const share = { assignment: { topic: "t", topicId: "00", partitions }, partitions: 1 };

/** Reads until `stop` aborts, which it does as soon as the leaders are asked for. */
async function read(metadata: (stop: AbortController) => Promise<never>): Promise<unknown[]> {
  const stop = new AbortController();
  const consumer = { metadata: () => metadata(stop) } as unknown as Consumer;
  const fetcher = new Fetcher(consumer, options, share, new Map([[0, 0]]), new Epochs(), stop.signal);
  return await Array.fromAsync(fetcher.messages());
}

it("ends when it is told to, though no broker says who leads the partitions", async () => {
  const silence = (stop: AbortController) => {
    queueMicrotask(() => stop.abort());
    return new Promise<never>(() => {});
  };
  expect(await read(silence)).toEqual([]);
});

it("throws what a broker says instead", async () => {
  await expect(read(() => Promise.reject(new Error("no leader")))).rejects.toThrow("no leader");
});
