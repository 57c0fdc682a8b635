// Reads a topic as the consumer does, from marks that belong to the topic's id. Prints "ID VALUE"
// for each message.
import process from "node:process";
import type { ClientChoice } from "../../lib/config/setting_types.ts";
import { type Assignment, type FindPositions, KafkaSetupError } from "../../lib/kafka/kafka.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { each } from "./each.ts";
import { placesAt } from "./log_positions.ts";

/** The orders for the follower, as JSON in its only argument. */
export interface FollowerOptions {
  readonly bootstrap: string;
  readonly topic: string;
  readonly client: ClientChoice;
}

const { bootstrap, topic, client } = JSON.parse(process.argv[2] ?? "{}") as FollowerOptions;
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

const marks = new Map<string, number>();
const place = (id: string, partition: number) => `${id} ${partition}`;
const position: FindPositions = ({ topicId, partitions }: Assignment) =>
  Promise.resolve(
    placesAt(
      partitions.map(({ partition, logStart }) => [partition, marks.get(place(topicId, partition)) ?? logStart]),
    ),
  );
const library = await loadClient(client);
const options = { bootstrapServers: [bootstrap], topic, group: topic, start: "earliest" } as const;
const say = (line: string) => void process.stderr.write(`${line}\n`);
// A consumer ends when its topic is missing for a moment. Its supervisor starts the next one.
while (!stop.signal.aborted) {
  try {
    await using consumer = await library.openConsumer(options, say, stop.signal);
    for await (const { assignment: { topicId }, messages } of consumer.readings(position, stop.signal)) {
      for await (const { partition, offset, value } of each(messages)) {
        marks.set(place(topicId, partition), offset + 1);
        process.stdout.write(`${topicId} ${new TextDecoder().decode(value ?? undefined)}\n`);
      }
    }
  } catch (error) {
    if (!(error instanceof KafkaSetupError)) throw error;
    say(error.message);
  }
}
process.exit(0);
