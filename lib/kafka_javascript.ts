import { Consumer } from "@platformatic/kafka";
import type { KafkaClient, KafkaOptions } from "./kafka.ts";
import { connectionOptions, createTopic, describeTopic, reason, rethrow } from "./kafka_javascript/connection.ts";
import { JavascriptConsumer } from "./kafka_javascript/consumer.ts";
import { JavascriptProducer } from "./kafka_javascript/producer.ts";
import { CLIENT_ID, isPassing, MissingTopicError, refusedTls, Troubles } from "./kafka/setup.ts";
import { retry } from "./retry.ts";

/** The client in plain TypeScript: it runs on every runtime. */
export const client: KafkaClient = {
  name: "javascript",

  async openProducer(options, listener, signal) {
    const troubles = new Troubles(listener);
    try {
      await waitForTopic(options, troubles, signal);
    } catch (error) {
      if (!(error instanceof MissingTopicError) || options.partitions === null) throw error;
      await createTopic(options, options.partitions, signal);
    }
    return new JavascriptProducer(options, troubles);
  },

  async openConsumer(options, listener, signal) {
    const troubles = new Troubles(listener);
    await waitForTopic(options, troubles, signal);
    return new JavascriptConsumer(options, troubles);
  },
};

/** Waits for a broker; throws `KafkaSetupError` where it has no such topic, or lets nobody in. */
async function waitForTopic(options: KafkaOptions, troubles: Troubles, signal: AbortSignal): Promise<void> {
  const waits = {
    signal,
    isPassing,
    onWait: (error: unknown) => troubles.report(`Kafka does not answer (${reason(error)}): trying again`),
    onRecovery: () => troubles.settle("Kafka answers"),
  };
  let closings = 0;
  await retry(async () => {
    try {
      await lookForTopic(options).catch(rethrow(options.topic));
    } catch (error) {
      // With TLS 1.3 a broker says only so that it wants a certificate; a broker that is ending does it once.
      const closed = options.tls !== undefined && options.tls.key === undefined && reason(error) === CLOSED;
      if (closed && ++closings === 3) throw refusedTls("the broker wants a client certificate, it seems", error);
      throw error;
    }
  }, waits);
}

/** The library's words for a connection that the other side ended. */
const CLOSED = "Connection closed";

async function lookForTopic(options: KafkaOptions): Promise<void> {
  const probe = new Consumer({ ...connectionOptions(options), groupId: CLIENT_ID, retries: 0 });
  try {
    await describeTopic(probe, options.topic);
  } finally {
    await probe.close(true).catch(() => {});
  }
}
