import process from "node:process";
import type { ClientChoice } from "../../lib/config/setting_types.ts";
import { TopicSink } from "../../lib/delivery/topic_sink.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { DeliveryError, type KafkaProducer, type OutgoingMessage } from "../../lib/kafka/kafka.ts";
import { say } from "./say.ts";

/** Where a program sends messages, and by which client. */
export interface SendingOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly client: ClientChoice;
}

/** A producer, and a sink that sends metrics through it. Null: `stop` aborted before it was open. */
export async function openSending(
  { bootstrap, topic, client }: SendingOptions,
  stop: AbortSignal,
): Promise<{ readonly producer: KafkaProducer; readonly sink: TopicSink } | null> {
  const library = await loadClient(client);
  const options = { bootstrapServers: [bootstrap], topic, partitions: null };
  const report = (event: string) => void process.stderr.write(`${event}\n`);
  const producer = await library.openProducer(options, report, stop).catch(() => null);
  if (producer === null) return null;
  return { producer, sink: new TopicSink(() => Promise.resolve(nowadays(producer)), report) };
}

/**
 * The same producer, with the present time for every message. A broker that starts again forgets a
 * producer whose newest message is a day old, by the time of that message. It would take a repeated
 * message for a new one. A message of the future it would refuse.
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
