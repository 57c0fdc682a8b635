import { retry } from "../../async/retry.ts";
import { unlessAborted } from "../../async/waits.ts";
import { COMPRESSIONS } from "../../config/setting_types.ts";
import { findRefusal } from "../handshake.ts";
import { type KafkaClient, type KafkaOptions } from "../kafka.ts";
import { inEitherForm } from "../login.ts";
import {
  ANSWER_LIMIT,
  CLIENT_ID,
  CLOSE_LIMIT,
  isPassing,
  MissingTopicError,
  StatusReporter,
  within,
} from "../setup.ts";
import {
  asRefusedTls,
  connectionOptions,
  createTopic,
  describeTopic,
  identifyTopic,
  reason,
  rethrow,
} from "./connection.ts";
import { JavascriptConsumer } from "./consumer.ts";
import { LogConsumer } from "./log_consumer.ts";
import { JavascriptProducer } from "./producer.ts";

/** For a consumer that is a member of its group by other means. */
export { fetchingClient, type LogConsumer } from "./log_consumer.ts";
export { TopicLog } from "./topic_log.ts";
export { asSetupError as asFetchSetupError, reason as fetchReason } from "./connection.ts";

/** The client in plain TypeScript: it runs on every runtime. */
export const client: KafkaClient = inEitherForm({
  name: "javascript",
  compressions: COMPRESSIONS,

  async openProducer(options, listener, signal) {
    const status = new StatusReporter(listener);
    try {
      await waitForTopic(options, describeTopic, status, signal);
    } catch (error) {
      if (!(error instanceof MissingTopicError) || options.partitions === null) throw error;
      await unlessAborted(createTopic(options, options.partitions, signal), signal);
    }
    return new JavascriptProducer(options, status);
  },

  async openConsumer(options, listener, signal) {
    const status = new StatusReporter(listener);
    await waitForTopic(options, identifyTopic, status, signal);
    return new JavascriptConsumer(options, status);
  },
});

/**
 * Waits for a broker, and for what `look` wants of the topic; throws `KafkaSetupError` where there
 * is none, or nobody is let in.
 */
async function waitForTopic(
  options: KafkaOptions,
  look: typeof identifyTopic,
  status: StatusReporter,
  signal: AbortSignal,
): Promise<void> {
  const waits = {
    signal,
    isPassing,
    onWait: (error: unknown) => status.report(`Kafka does not answer (${reason(error)}): trying again`),
    onRecovery: () => status.settle("Kafka answers"),
  };
  await retry(async () => {
    try {
      await unlessAborted(lookForTopic(options, look).catch(rethrow(options.topic)), signal);
    } catch (error) {
      const refusal = asRefusedTls(error);
      // Of what a broker says after the handshake the library tells only that it ended the connection.
      const found = refusal !== null || reason(error) === CLOSED ? await findRefusal(options, signal) : null;
      throw found ?? refusal ?? error;
    }
  }, waits);
}

/** The library's words for a connection that the other side ended. */
const CLOSED = "Connection closed";

async function lookForTopic(options: KafkaOptions, look: typeof identifyTopic): Promise<void> {
  const settings = { ...connectionOptions(options), groupId: CLIENT_ID, retries: 0, requestTimeout: ANSWER_LIMIT };
  const probe = new LogConsumer(settings);
  try {
    await look(probe, options.topic);
  } finally {
    await within(CLOSE_LIMIT, probe.close(true));
  }
}
