// Sends numbered messages at a steady rate, from a given number on. Prints a line before it sends,
// when it must send again, and when all below a number are confirmed; ends in order at SIGTERM.
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { DeliveryError, type KafkaProducer, type OutgoingMessage } from "../../lib/kafka/kafka.ts";
import { badMessageOf, isBad, metricOf } from "./numbers.ts";
import { say } from "./say.ts";
import { openSending, type SendingOptions } from "./sending.ts";

/** The generator's orders, as JSON in its only argument. */
export interface GeneratorOptions extends SendingOptions {
  /** Messages a second. */
  readonly rate: number;
  readonly from: number;
}

const MOST_AT_ONCE = 1000;
const { rate, from, ...where } = JSON.parse(process.argv[2] ?? "{}") as GeneratorOptions;
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

const { producer, sink } = await openSending(where, stop.signal) ?? process.exit(0);
const never = new AbortController().signal;
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
