// Sends numbered messages at a steady rate, from a given number on. Prints a line before it sends,
// when it must send again, and when all below a number are confirmed; ends in order at SIGTERM.
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import type { ClientChoice } from "../../lib/config/setting_types.ts";
import { TopicSink } from "../../lib/delivery/topic_sink.ts";
import { DeliveryError, type KafkaProducer, type OutgoingMessage } from "../../lib/kafka/kafka.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { badMessageOf, isBad, metricOf } from "./numbers.ts";
import { say } from "./say.ts";

/** The generator's orders, as JSON in its only argument. */
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
const never = new AbortController().signal;
await using sink = new TopicSink(() => Promise.resolve(nowadays(producer)), report);
const began = performance.now();
for (let sent = 0; !stop.signal.aborted;) {
  const due = Math.floor((performance.now() - began) / 1000 * rate);
  const count = Math.min(due - sent, MOST_AT_ONCE);
  const numbers = Array.from({ length: count }, (_, i) => from + sent + i);
  const next = from + sent + count;
  await say(`sending ${next}`);
  await sink.send(numbers.flatMap((number) => metricOf(number) ?? []), never);
  for (const number of numbers.filter(isBad)) await sendAlone(producer, badMessageOf(number));
  sent += count;
  await say(`confirmed ${next}`);
  await delay(50);
}
await producer[Symbol.asyncDispose]();
process.exit(0);

async function sendAlone(producer: KafkaProducer, message: OutgoingMessage): Promise<void> {
  for (;;) {
    try {
      return await producer.send([message]);
    } catch (error) {
      if (!(error instanceof DeliveryError)) throw error;
      await say("again");
    }
  }
}

/**
 * The same producer, with the present time for every message. A broker that starts again forgets a
 * producer whose newest message is a day old, by the time of that message. It would take a repeated
 * message for a new one.
 */
function nowadays(producer: KafkaProducer): KafkaProducer {
  return {
    async send(messages) {
      const original = new Map(messages.map((message) => [{ ...message, timestamp: Date.now() }, message]));
      const back = (message: OutgoingMessage) => original.get(message) as OutgoingMessage;
      try {
        await producer.send([...original.keys()]);
      } catch (error) {
        if (!(error instanceof DeliveryError)) throw error;
        if (error.refused.size < error.undelivered.length) await say("again");
        const refused = new Map([...error.refused].map(([message, refusal]) => [back(message), refusal]));
        throw new DeliveryError(error.message, error.undelivered.map(back), { refused });
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
