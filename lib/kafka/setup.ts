import { KafkaSetupError, type Listener } from "./kafka.ts";

/** How both clients present themselves to the brokers, for quotas and the brokers' logs. */
export const CLIENT_ID = "host-checker";

/**
 * Milliseconds without a heartbeat after which the group gives a consumer's partitions to others,
 * and between two heartbeats.
 */
export const SESSION_LIMIT = 15_000;
export const HEARTBEAT_EVERY = 3_000;

/** Milliseconds without a confirmation until that is told; nothing else happens then. */
export const SLOW_DELIVERY = 10_000;

/**
 * Milliseconds that a running producer waits for a topic that brokers no longer know: one that
 * starts may learn of it late.
 */
export const MISSING_LIMIT = 30_000;

/** Milliseconds for one question to the brokers. */
export const ANSWER_LIMIT = 5_000;

/**
 * Milliseconds that closing a client may take; what it could not say to the brokers by then,
 * timeouts of theirs make up for.
 */
export const CLOSE_LIMIT = 3_000;

/** Bytes of one answer, and of one partition in it: what a consumer holds in memory beside the batch being stored. */
export const FETCH_BYTES = 1024 * 1024;
export const PARTITION_BYTES = 128 * 1024;

/** The only trouble of the set-up that a producer may mend by itself. */
export class MissingTopicError extends KafkaSetupError {}

/** The topic of a producer that may not create it, or of a consumer, is not there. */
export function missingTopic(topic: string): MissingTopicError {
  return new MissingTopicError(
    `The topic ${topic} does not exist: check --kafka-topic (KAFKA_TOPIC), or let the producer create it with ` +
      `--kafka-partitions (KAFKA_PARTITIONS)`,
  );
}

/**
 * TLS could not be agreed on. No waiting mends it at the start; later it may, since certificates
 * are being replaced perhaps.
 */
export class RefusedTlsError extends KafkaSetupError {}

/** Where nobody could find out what it is. */
const ALL_OF_TLS = "check --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), --kafka-ssl-key-file (KAFKA_SSL_KEY_FILE), " +
  "--kafka-ssl-cert-file (KAFKA_SSL_CERT_FILE), and the names in --kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS)";

/** TLS could not be agreed on: why, and what mends it. */
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

/** The brokers do not believe who asks. */
export class RefusedLoginError extends KafkaSetupError {}

/** The same, with what to look at. */
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

/** The same for one that has. */
export function isPassingLater(error: unknown): boolean {
  return isPassing(error) || error instanceof RefusedTlsError;
}

/** How either library says that certificates are what is wrong. */
const CERTIFICATES = /certificate|SSL alert|fatal alert/i;

/**
 * Tells a listener each trouble once, and once more only after things went well in between; or
 * where a broker that was away is back and it is certificates now, which somebody has to mend.
 */
export class StatusReporter {
  readonly #listener: Listener;
  #said = false;
  #saidCertificates = false;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Something does not work; nothing is said where something already did not. */
  report(what: string): void {
    const isNews = CERTIFICATES.test(what) && !this.#saidCertificates;
    if (this.#said && !isNews) return;
    this.#said = true;
    this.#saidCertificates ||= isNews;
    this.#listener(what, true);
  }

  /** Something that does not keep it from working, for now; nothing is said where it does not work. */
  remark(what: string): void {
    if (!this.#said) this.#listener(what, false);
  }

  /** It works. */
  settle(what: string): void {
    if (this.#said) this.#listener(what, false);
    this.#said = this.#saidCertificates = false;
  }
}

/**
 * Waits for `work`, but not longer than `limit` milliseconds: true where it is over by then. Never
 * rejects: for closing, where nothing can be done about a failure.
 */
export async function within(limit: number, work: Promise<unknown>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(resolve, limit, false));
  const isOver = await Promise.race([work.then(() => true, () => true), late]);
  clearTimeout(timer);
  return isOver;
}
