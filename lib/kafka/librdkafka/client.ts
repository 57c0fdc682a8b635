import { retry } from "../../async/retry.ts";
import { COMPRESSIONS } from "../../config/setting_types.ts";
import { ConsumerLoop } from "../consumer_loop.ts";
import { TopicLog } from "../javascript/topic_log.ts";
import type { KafkaClient, ProducerOptions } from "../kafka.ts";
import { isPassing, isPassingLater } from "../setup_errors.ts";
import { StatusReporter } from "../status_reporter.ts";
import { ensureTopic } from "../topic.ts";
import { AdminQueue } from "./admin_queue.ts";
import { connected, type Patience } from "./connection.ts";
import { type Librdkafka, loadLibrdkafka, type NativeProducer } from "./library.ts";
import { type ConsumerClients, LibrdkafkaMember } from "./member.ts";
import { closeConsumer, closeProducer, newConsumer, newProducer, pollProducer } from "./native_clients.ts";
import { LibrdkafkaProducer } from "./producer.ts";
import { renewals, type Renewing } from "./renewal.ts";

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
    // Tells nothing: the client in use already tells of a broker that is away.
    open: (signal) => connectProducer(options, { status: new StatusReporter(() => {}), isPassing, signal }),
  });
  return {
    name: "librdkafka",
    compressions: COMPRESSIONS.filter((name) => name === "none" || library.features.includes(name)),

    async openProducer(options, listener, signal) {
      const { topic, partitions } = options;
      const status = new StatusReporter(listener);
      const edition = options.tls?.replaced;
      const client = await connectProducer(options, { status, isPassing, signal });
      try {
        await ensureTopic(new AdminQueue(library, client, topic), topic, partitions, { signal, isPassing });
      } catch (error) {
        await closeProducer(client);
        throw error;
      }
      const clients = {
        replacement: (until: AbortSignal) =>
          connectProducer(options, { status, isPassing: isPassingLater, signal: until }),
        renewals: (until: AbortSignal) => renewals(renewing(options, status), edition, until),
      };
      return new LibrdkafkaProducer(client, clients, topic, status);
    },

    async openConsumer(options, listener, signal) {
      const status = new StatusReporter(listener);
      // Looked at with a producer: that one tells what is wrong with TLS before it is connected.
      const probe = await connectProducer(options, { status, isPassing, signal });
      try {
        const questions = new AdminQueue(library, probe, options.topic);
        await retry(() => questions.identifyTopic(), { signal, isPassing });
      } finally {
        await closeProducer(probe);
      }
      const clients: ConsumerClients = {
        connect(listeners, until) {
          const opening = { make: () => newConsumer(library, options, listeners), close: closeConsumer };
          return connected(opening, options, { status, isPassing: isPassingLater, signal: until });
        },
        renewals: (edition, until) => renewals(renewing(options, status), edition, until),
      };
      const join = (until: AbortSignal) => LibrdkafkaMember.join({ library, options, status, clients }, until);
      return new ConsumerLoop(options, status, { join, log: new TopicLog(options) });
    },
  };
}
