import { COMPRESSIONS } from "../../config/setting_types.ts";
import { type KafkaClient, type ProducerOptions } from "../kafka.ts";
import { isPassing, isPassingLater } from "../setup_errors.ts";
import { StatusReporter } from "../status_reporter.ts";
import { connected, ensureTopic, findTopic, type Patience } from "./connection.ts";
import { closeConsumer, LibrdkafkaConsumer, type Listeners, newConsumer } from "./consumer.ts";
import { type Librdkafka, loadLibrdkafka, type NativeProducer } from "./library.ts";
import { closeProducer, LibrdkafkaProducer, newProducer, pollProducer } from "./producer.ts";
import { type Edition, renewals, type Renewing } from "./renewal.ts";

/** What a producer's client is made with; a consumer looks at its set-up with one. */
type ClientOptions = Omit<ProducerOptions, "partitions">;

/** The client around librdkafka, or why its add-on cannot be loaded here. */
export function loadLibrdkafkaClient(): KafkaClient | { readonly missing: string } {
  const library = loadLibrdkafka();
  return "missing" in library ? library : librdkafkaClient(library);
}

function librdkafkaClient(library: Librdkafka): KafkaClient {
  const connectProducer = (options: ClientOptions, patience: Patience): Promise<NativeProducer> => {
    const opening = { make: () => newProducer(library, options), serve: pollProducer, close: closeProducer };
    return connected(opening, options, patience);
  };
  const renewing = (options: ClientOptions, status: StatusReporter): Renewing => ({
    tls: options.tls,
    status,
    // In silence: of a broker that is away the client tells that is in use.
    open: (signal) => connectProducer(options, { status: new StatusReporter(() => {}), isPassing, signal }),
  });
  return {
    name: "librdkafka",
    compressions: COMPRESSIONS.filter((name) => name === "none" || library.features.includes(name)),

    async openProducer(options, listener, signal) {
      const status = new StatusReporter(listener);
      const edition = options.tls?.replaced;
      const client = await connectProducer(options, { status, isPassing, signal });
      try {
        await ensureTopic(library, client, options.topic, options.partitions, signal);
      } catch (error) {
        await closeProducer(client);
        throw error;
      }
      const clients = {
        replacement: (until: AbortSignal) =>
          connectProducer(options, { status, isPassing: isPassingLater, signal: until }),
        renewals: (until: AbortSignal) => renewals(renewing(options, status), edition, until),
      };
      return new LibrdkafkaProducer(client, clients, options.topic, status);
    },

    async openConsumer(options, listener, signal) {
      const status = new StatusReporter(listener);
      // Looked at with a producer: that one tells what is wrong with TLS before it is connected.
      const probe = await connectProducer(options, { status, isPassing, signal });
      try {
        await findTopic(library, probe, options.topic, signal);
      } finally {
        await closeProducer(probe);
      }
      const connect = (listeners: Listeners, until: AbortSignal) => {
        const opening = { make: () => newConsumer(library, options, listeners), close: closeConsumer };
        return connected(opening, options, { status, isPassing: isPassingLater, signal: until });
      };
      const renewalsOf = (edition: Edition, until: AbortSignal) => renewals(renewing(options, status), edition, until);
      return new LibrdkafkaConsumer(library, options, status, { connect, renewals: renewalsOf });
    },
  };
}
