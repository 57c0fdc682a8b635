import type { KafkaClient, KafkaOptions } from "./kafka.ts";
import { connected, ensureTopic } from "./kafka_librdkafka/connection.ts";
import { closeConsumer, LibrdkafkaConsumer, newConsumer, type RebalanceListener } from "./kafka_librdkafka/consumer.ts";
import { closeProducer, LibrdkafkaProducer, newProducer, pollProducer } from "./kafka_librdkafka/producer.ts";
import { Troubles } from "./kafka/setup.ts";
import { type Librdkafka, loadLibrdkafka, type NativeProducer } from "./kafka_librdkafka/library.ts";

/** The client around librdkafka, or why its add-on cannot be loaded here. */
export function loadLibrdkafkaClient(): KafkaClient | { readonly missing: string } {
  const library = loadLibrdkafka();
  return "missing" in library ? library : librdkafkaClient(library);
}

function librdkafkaClient(library: Librdkafka): KafkaClient {
  const connectProducer = (options: KafkaOptions, troubles: Troubles, signal: AbortSignal): Promise<NativeProducer> => {
    const opening = { make: () => newProducer(library, options), serve: pollProducer, close: closeProducer };
    return connected(opening, options.topic, troubles, signal);
  };
  return {
    name: "librdkafka",

    async openProducer(options, listener, signal) {
      const troubles = new Troubles(listener);
      const client = await connectProducer(options, troubles, signal);
      try {
        await ensureTopic(library, client, options.topic, options.partitions, signal);
      } catch (error) {
        await closeProducer(client);
        throw error;
      }
      const reconnect = (until: AbortSignal) => connectProducer(options, troubles, until);
      return new LibrdkafkaProducer(client, reconnect, options.topic, troubles);
    },

    async openConsumer(options, listener, signal) {
      const troubles = new Troubles(listener);
      // Looked at with a producer: that one tells what is wrong with TLS before it is connected.
      const probe = await connectProducer(options, troubles, signal);
      try {
        await ensureTopic(library, probe, options.topic, null, signal);
      } finally {
        await closeProducer(probe);
      }
      const connect = (onRebalance: RebalanceListener, until: AbortSignal) => {
        const opening = { make: () => newConsumer(library, options, onRebalance), close: closeConsumer };
        return connected(opening, options.topic, troubles, until);
      };
      return new LibrdkafkaConsumer(library, options, troubles, connect);
    },
  };
}
