import { DeliveryError, KafkaSetupError, type OutgoingMessage, type Refusal } from "./kafka.ts";
import { describeError, type ProduceError, type ProduceRemedy } from "./produce_errors.ts";
import { refusedLogin, refusedRight } from "./setup_errors.ts";
import { notTaking, type StatusReporter, TAKING } from "./status_reporter.ts";

/**
 * The brokers will never take this producer's messages: the cause by the broker's name, and what
 * mends it.
 */
export function refusedProduce({ name, detail }: Pick<ProduceError, "name" | "detail">): KafkaSetupError {
  const said = describeError({ name, detail });
  if (/^SASL_|_SASL_|^_AUTHENTICATION$/.test(name)) return refusedLogin(said, undefined);
  if (/_AUTHORIZATION_FAILED$/.test(name)) return refusedRight(said, undefined);
  if (/COMPRESSION/.test(name)) {
    return new KafkaSetupError(
      `Kafka does not take this compression (${said}): write another --kafka-compression ` +
        `(KAFKA_COMPRESSION), such as gzip or none`,
    );
  }
  if (name === "UNSUPPORTED_FOR_MESSAGE_FORMAT") {
    return new KafkaSetupError(
      `The topic keeps messages in a format from before Kafka 0.11 (${said}): set its ` +
        `message.format.version, or name another topic in --kafka-topic (KAFKA_TOPIC)`,
    );
  }
  return new KafkaSetupError(
    `Kafka refuses what this producer sends (${said}): look at the brokers' version and settings`,
  );
}

/**
 * The error that `send` rejects with, made of the errors of its messages, in their order. Tells of
 * messages that must wait.
 */
export function undelivered(errors: ReadonlyMap<OutgoingMessage, ProduceError>, status: StatusReporter): Error {
  const all = [...errors.values()];
  const hopeless = all.find(({ remedy }) => remedy === "stop");
  if (hopeless !== undefined) return refusedProduce(hopeless);
  const refused = new Map<OutgoingMessage, Refusal>();
  for (const [message, { name, remedy }] of errors) if (isRefusal(remedy)) refused.set(message, { name, remedy });
  const waiting = all.find(({ remedy }) => !isRefusal(remedy));
  if (waiting !== undefined) status.report(notTaking(describeError(waiting)));
  else status.settle(TAKING);
  const reason = describeError(waiting ?? all[0] ?? { name: "", detail: "" });
  const text = `${errors.size} messages were not confirmed by Kafka: ${reason}`;
  return new DeliveryError(text, [...errors.keys()], { refused });
}

function isRefusal(remedy: ProduceRemedy): remedy is Refusal["remedy"] {
  return remedy === "split" || remedy === "retime" || remedy === "drop";
}
