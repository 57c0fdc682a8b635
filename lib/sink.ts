import type { Sink } from "./delivery.ts";
import type { Health } from "./health.ts";
import type { Listener } from "./kafka.ts";
import { describeTopic, kafkaAccess } from "./kafka_access.ts";
import { LineSink } from "./sink/line_sink.ts";
import type { ProducerSettings } from "./settings.ts";
import { TopicSink } from "./sink/topic_sink.ts";

/** A sink that can be opened: everything that settings and files can have wrong has been looked at. */
export interface SinkPlan {
  /** Where metrics will go, for a person. */
  readonly description: string;
  /** Begins to connect, without waiting for it; `health` hears whether it can be reached. */
  open(listener: Listener, health: Health): Sink;
}

const PART = "Kafka";

/** The sink that the settings name; `print` writes to standard output. Throws a `UsageError` where files or client are no good. */
export async function planSink(
  { kafka }: ProducerSettings,
  print: (text: string) => Promise<void>,
): Promise<SinkPlan> {
  if (kafka === null) return { description: "standard output", open: () => new LineSink(print) };
  const access = await kafkaAccess(kafka);
  const options = { ...access.options, partitions: kafka.partitions };
  return {
    description: describeTopic(access),
    open(listener, health) {
      health.note(PART, "Kafka was not reached yet");
      const listen: Listener = (event, isTrouble) => {
        health.note(PART, isTrouble ? event : null);
        listener(event, isTrouble);
      };
      return new TopicSink(async (signal) => {
        const producer = await access.client.openProducer(options, listen, signal);
        health.note(PART, null);
        return producer;
      });
    },
  };
}
