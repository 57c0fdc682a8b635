import { KafkaSetupError } from "./kafka.ts";

/** The only trouble of the set-up that a producer may mend by itself. */
export class MissingTopicError extends KafkaSetupError {}

/** The topic of a consumer, or of a producer that may not create it, does not exist. */
export function missingTopic(topic: string): MissingTopicError {
  return new MissingTopicError(
    `The topic ${topic} does not exist: check --kafka-topic (KAFKA_TOPIC), or let the producer create it with ` +
      `--kafka-partitions (KAFKA_PARTITIONS)`,
  );
}

/**
 * TLS could not be agreed on. No waiting mends it at the start. Later it may, since somebody may be
 * replacing certificates.
 */
export class RefusedTlsError extends KafkaSetupError {}

/** The advice where the cause is not known. */
const ALL_OF_TLS = "check --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), --kafka-ssl-key-file (KAFKA_SSL_KEY_FILE), " +
  "--kafka-ssl-cert-file (KAFKA_SSL_CERT_FILE), and the names in --kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS)";

/** TLS could not be agreed on: the cause, and what mends it. */
export function refusedTls(detail: string, advice = ALL_OF_TLS): RefusedTlsError {
  return new RefusedTlsError(`TLS with the Kafka broker failed (${detail}): ${advice}`);
}

/** The broker speaks TLS, and no setting turns it on here. */
export function missingTls(): RefusedTlsError {
  return refusedTls(
    "the broker wants TLS, and none is set",
    "name its CA in --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), or set --kafka-ssl (KAFKA_SSL) to true where a public CA " +
      "signed its certificate",
  );
}

/** The brokers refuse name or password. */
export class RefusedLoginError extends KafkaSetupError {}

/** The same, with the settings to look at. */
export function refusedLogin(detail: string, cause: unknown): RefusedLoginError {
  return new RefusedLoginError(
    `Kafka refuses the login (${detail}): check --kafka-sasl-mechanism (KAFKA_SASL_MECHANISM), --kafka-sasl-username ` +
      `(KAFKA_SASL_USERNAME) and KAFKA_SASL_PASSWORD (or --kafka-sasl-password-file)`,
    { cause },
  );
}

/** The brokers know who asks, and do not allow it. */
export function refusedRight(detail: string, cause: unknown): KafkaSetupError {
  return new KafkaSetupError(
    `Kafka does not allow this (${detail}): ask for the right on the topic in --kafka-topic (KAFKA_TOPIC) and, for a ` +
      `consumer, on the group in --kafka-group (KAFKA_GROUP)`,
    { cause },
  );
}

/** True where waiting may mend an error of a client that has not worked yet. */
export function isPassing(error: unknown): boolean {
  return !(error instanceof KafkaSetupError);
}

/** The same for a client that has worked. */
export function isPassingLater(error: unknown): boolean {
  return isPassing(error) || error instanceof RefusedTlsError;
}

/** How to read the errors of one library. */
export interface ErrorReader {
  /** An error as one that no waiting mends, whenever it comes, or null. */
  setupError(error: unknown, topic: string): KafkaSetupError | null;
  /** What went wrong, for a person. */
  reason(error: unknown): string;
  /** True where the brokers are getting ready for the group. Absent: the library waits for it. */
  isNotReady?(error: unknown): boolean;
}

/** The brokers are getting ready for the group, as a new cluster does for its first one. */
export class GroupNotReadyError extends Error {
  override name = "GroupNotReadyError";
}

/**
 * An error of a library for a caller who does not know the library: its message says what went
 * wrong.
 */
export function explained(error: unknown, topic: string, { setupError, reason, isNotReady }: ErrorReader): Error {
  const Kind = isNotReady?.(error) ? GroupNotReadyError : Error;
  return setupError(error, topic) ?? new Kind(reason(error), { cause: error });
}
