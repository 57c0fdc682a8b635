import type { Assignment, IncomingMessage, KafkaClient, KafkaOptions } from "../../lib/kafka/kafka.ts";
import { each } from "./each.ts";
import { placesAt } from "./log_positions.ts";

/** All present messages of a topic, partition by partition, in order. */
export async function readTopic(client: KafkaClient, options: KafkaOptions): Promise<IncomingMessage[]> {
  const signal = AbortSignal.timeout(60_000);
  const group = `reader-${crypto.randomUUID()}`;
  await using consumer = await client.openConsumer({ ...options, group, start: "earliest" }, () => {}, signal);
  const stop = new AbortController();
  const messages: IncomingMessage[] = [];
  const position = ({ partitions }: Assignment) =>
    Promise.resolve(placesAt(partitions.map(({ partition, logStart }) => [partition, logStart])));
  for await (const reading of consumer.readings(position, AbortSignal.any([stop.signal, signal]))) {
    const left = new Map(reading.assignment.partitions.map(({ partition, logEnd }) => [partition, logEnd]));
    const isRead = ({ partition, offset }: IncomingMessage) => {
      if (offset + 1 >= (left.get(partition) ?? 0)) left.delete(partition);
      return left.size === 0;
    };
    for (const [partition, end] of left) if (end === 0) left.delete(partition);
    if (left.size === 0) stop.abort();
    for await (const message of each(reading.messages)) {
      messages.push(message);
      if (isRead(message)) stop.abort();
    }
  }
  return messages;
}
