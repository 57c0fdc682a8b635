// Sends messages and reads them back, with the client that KAFKA_CLIENT names. A test runs this on
// another runtime.
import process from "node:process";
import { loadClient } from "../../lib/kafka/access.ts";
import { loadKeyMaterial } from "../../lib/net/tls.ts";

import { each } from "./each.ts";
import { placesAt } from "./log_positions.ts";

const [server, topic, caFile, keyFile, certFile] = process.argv.slice(2) as [string, string, string, string, string];
const loaded = await loadKeyMaterial({ caFile, keyFile, certFile });
if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
const options = { bootstrapServers: [server], topic, tls: loaded.material };
const client = await loadClient("auto");
const signal = AbortSignal.timeout(30_000);
const messages = Array.from({ length: 100 }, (_, n) => ({ key: `k${n % 7}`, value: `v${n}`, timestamp: 1_000 + n }));
{
  await using producer = await client.openProducer({ ...options, partitions: 3 }, () => {}, signal);
  await producer.send(messages);
}
const consumer = await client.openConsumer({ ...options, group: topic, start: "earliest" }, () => {}, signal);
const read: string[] = [];
const stop = new AbortController();
let topicId = "";
const position = (assignment: { partitions: readonly { partition: number; logStart: number }[] }) =>
  Promise.resolve(placesAt(assignment.partitions.map(({ partition, logStart }) => [partition, logStart])));
for await (const reading of consumer.readings(position, AbortSignal.any([stop.signal, signal]))) {
  topicId = reading.assignment.topicId;
  for await (const { key, value, timestamp } of each(reading.messages)) {
    read.push(
      `${new TextDecoder().decode(key ?? undefined)} ${new TextDecoder().decode(value ?? undefined)} ${timestamp}`,
    );
    if (read.length === messages.length) stop.abort();
  }
}
await consumer[Symbol.asyncDispose]();
console.log(JSON.stringify({ client: client.name, topicId, read: read.toSorted() }));
