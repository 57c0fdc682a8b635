import { Admin } from "@platformatic/kafka";
import { retry, type RetryOptions } from "../../async/retry.ts";
import { unlessAborted } from "../../async/waits.ts";
import { COMPRESSIONS } from "../../config/setting_types.ts";
import { ANSWER_LIMIT, CLIENT_ID, closedInTime } from "../client_settings.ts";
import { ConsumerLoop } from "../consumer_loop.ts";
import { findRefusal } from "../handshake.ts";
import { type KafkaClient, type KafkaOptions, KafkaSetupError } from "../kafka.ts";
import { explained, isPassing } from "../setup_errors.ts";
import { ANSWERING, notAnswering, StatusReporter } from "../status_reporter.ts";
import { ensureTopic, type TopicDescription, type TopicQuestions } from "../topic.ts";
import { connectionOptions, identifyTopic } from "./connection.ts";
import { asRefusedTls, javascriptErrors, leaves } from "./errors.ts";
import { LogConsumer } from "./log_consumer.ts";
import { JavascriptMember } from "./member.ts";
import { JavascriptProducer } from "./producer.ts";
import { TopicLog } from "./topic_log.ts";

/** The client in plain TypeScript: it runs on every runtime. */
export const client: KafkaClient = {
  name: "javascript",
  compressions: COMPRESSIONS,

  async openProducer(options, listener, signal) {
    const status = new StatusReporter(listener);
    await ensureTopic(questions(options, signal), options.topic, options.partitions, waits(status, signal));
    return new JavascriptProducer(options, status);
  },

  async openConsumer(options, listener, signal) {
    const status = new StatusReporter(listener);
    await retry(questions(options, signal).identifyTopic, waits(status, signal));
    const join = (until: AbortSignal) => JavascriptMember.join(options, until);
    return new ConsumerLoop(options, status, { join, log: new TopicLog(options) });
  },
};

/** Waits for a broker that is away, and tells of it. */
function waits(status: StatusReporter, signal: AbortSignal): RetryOptions {
  return {
    signal,
    isPassing,
    onWait: (error) => status.report(notAnswering((error as Error).message)),
    onRecovery: () => status.settle(ANSWERING),
  };
}

/** Asked before there is a producer or a consumer, each through a client of its own. */
function questions(options: KafkaOptions, signal: AbortSignal): TopicQuestions {
  const explain = (error: unknown): never => {
    throw explained(error, options.topic, javascriptErrors);
  };
  return {
    async identifyTopic() {
      try {
        return await unlessAborted(lookForTopic(options).catch(explain), signal);
      } catch (error) {
        // Its text holds names of the user's, which may be words of TLS.
        if (error instanceof KafkaSetupError) throw error;
        const refusal = asRefusedTls(error);
        // Of what a broker says after the handshake the library tells only that it ended the
        // connection.
        const isUnclear = refusal !== null || javascriptErrors.reason(error) === CLOSED;
        const found = isUnclear ? await findRefusal(options, signal) : null;
        throw found ?? refusal ?? error;
      }
    },
    createTopic: (partitions) => unlessAborted(createTopic(options, partitions).catch(explain), signal),
  };
}

/** The library's words for a connection that the other side ended. */
const CLOSED = "Connection closed";

async function lookForTopic(options: KafkaOptions): Promise<TopicDescription> {
  const settings = { ...connectionOptions(options), groupId: CLIENT_ID, retries: 0, requestTimeout: ANSWER_LIMIT };
  const probe = new LogConsumer(settings);
  try {
    return await identifyTopic(probe, options.topic);
  } finally {
    await closedInTime(probe.close(true));
  }
}

async function createTopic(options: KafkaOptions, partitions: number): Promise<void> {
  const admin = new Admin({ ...connectionOptions(options), retries: 3 });
  try {
    await admin.createTopics({ topics: [options.topic], partitions, replicas: -1 });
  } catch (error) {
    if (!leaves(error).some(({ apiId }) => apiId === "TOPIC_ALREADY_EXISTS")) throw error;
  } finally {
    await admin.close().catch(() => {});
  }
}
