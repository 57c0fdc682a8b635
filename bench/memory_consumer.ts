/**
 * `npm run bench:memory-consumer`: the consumer's memory over time, at 2,000 metrics a second, with PostgreSQL frozen for a
 * quarter of it. Prints RSS every minute; it should be flat. Starts a broker and a PostgreSQL
 * server of its own on loopback.
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { loadClient } from "../lib/kafka/access.ts";
import { onStopSignal } from "../lib/program/stop_signals.ts";
import { type Arena, newTable, openArena, PARTITIONS } from "./consumer/arena.ts";
import { makeMetric, toMessage } from "./consumer/metrics.ts";
import { type Client, type Runtime, startConsumer } from "./consumer/ours.ts";
import { usageOf } from "./consumer/usage.ts";

/** Metrics a second, and milliseconds between two sends. */
const RATE = 2_000;
const SEND_EVERY = 50;
const MINUTE = 60_000;

/** Sends at the rate until the time is up. */
async function produce({ broker, signal }: Arena, topic: string, minutes: number): Promise<number> {
  const client = await loadClient("auto");
  const options = { bootstrapServers: [broker.plain], topic, partitions: PARTITIONS };
  await using producer = await client.openProducer(options, () => {}, signal);
  const began = performance.now();
  const total = Math.floor(minutes * MINUTE / 1000 * RATE);
  for (let sent = 0; sent < total;) {
    await delay(SEND_EVERY, undefined, { signal });
    const due = Math.min(total, Math.floor((performance.now() - began) / 1000 * RATE));
    await producer.send(Array.from({ length: due - sent }, (_, i) => toMessage(makeMetric(sent + i, Date.now()))));
    sent = due;
  }
  return total;
}

/** Freezes the server, connections and all, from 3/8 to 5/8 of the time: nobody answers, and nothing is closed. */
async function freeze({ serverPid, signal }: Arena, minutes: number): Promise<void> {
  await delay(minutes * MINUTE * 3 / 8, undefined, { signal });
  process.kill(serverPid, "SIGSTOP");
  try {
    await delay(minutes * MINUTE / 4, undefined, { signal });
  } finally {
    process.kill(serverPid, "SIGCONT");
  }
}

/** RSS in MB at the end of each minute. */
async function watch(pid: number, { signal }: Arena, minutes: number): Promise<number[]> {
  const series: number[] = [];
  for (let minute = 1; minute <= minutes; minute++) {
    await delay(MINUTE, undefined, { signal });
    series.push(Math.round(usageOf(pid).rss));
  }
  return series;
}

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    runtime: { type: "string", default: "node" },
    client: { type: "string", default: "librdkafka" },
  },
});
const minutes = Number(values.minutes);
const [runtime, client] = [values.runtime as Runtime, values.client as Client];
const interrupted = new AbortController();
onStopSignal(() => interrupted.abort());
await using arena = await openArena(
  1,
  AbortSignal.any([interrupted.signal, AbortSignal.timeout((minutes + 5) * MINUTE)]),
);
const table = await newTable(arena, "memory");
const topic = "steady";
const sending = produce(arena, topic, minutes);
await using consumer = startConsumer(arena, runtime, client, table.name, topic);
const [total, series] = await Promise.all([sending, watch(consumer.pid, arena, minutes), freeze(arena, minutes)]);
const stored = async () => Number((await arena.server.sql.unsafe(`select count(*) from ${table.name}`))[0]?.count);
while (await stored() < total) await delay(1000, undefined, arena);
console.log(`${runtime} with ${client}: ${total} metrics in ${minutes} minutes, each in the table`);
console.log(`RSS in MB, minute by minute: ${series.join(" ")}; peak ${Math.round(usageOf(consumer.pid).peakRss)}`);
