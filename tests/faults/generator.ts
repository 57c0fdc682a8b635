// Sends numbered messages at a steady rate, from a given number on. Prints a line before it sends, when it must send again, and
// when all below a number are confirmed; ends in order at SIGTERM.
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { DeliveryError, type KafkaProducer, type OutgoingMessage } from "../../lib/kafka.ts";
import { type ClientChoice, loadClient } from "../../lib/kafka_client.ts";
import { messageOf } from "./numbers.ts";

/** What the generator is told, as JSON in its only argument. */
export interface GeneratorOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly client: ClientChoice;
  /** Messages a second. */
  readonly rate: number;
  readonly from: number;
}

const MOST_AT_ONCE = 1000;
const { bootstrap, topic, client, rate, from } = JSON.parse(process.argv[2] ?? "{}") as GeneratorOptions;
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

const library = await loadClient(client);
const options = { bootstrapServers: [bootstrap], topic, partitions: null };
const report = (event: string) => void process.stderr.write(`${event}\n`);
const producer = await library.openProducer(options, report, stop.signal).catch(() => process.exit(0));
const began = performance.now();
for (let sent = 0; !stop.signal.aborted;) {
  const due = Math.floor((performance.now() - began) / 1000 * rate);
  const count = Math.min(due - sent, MOST_AT_ONCE);
  const next = from + sent + count;
  process.stdout.write(`sending ${next}\n`);
  await sendAll(producer, Array.from({ length: count }, (_, i) => messageOf(from + sent + i)));
  sent += count;
  process.stdout.write(`confirmed ${next}\n`);
  await delay(50);
}
await producer[Symbol.asyncDispose]();
process.exit(0);

async function sendAll(producer: KafkaProducer, messages: readonly OutgoingMessage[]): Promise<void> {
  for (let left = messages; left.length > 0;) {
    try {
      return await producer.send(left);
    } catch (error) {
      if (!(error instanceof DeliveryError)) throw error;
      process.stdout.write("again\n");
      left = error.undelivered;
    }
  }
}
