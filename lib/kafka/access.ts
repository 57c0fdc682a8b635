import type { Health } from "../async/health.ts";
import { saslPrep } from "../config/saslprep.ts";
import type { ClientChoice, Login } from "../config/setting_types.ts";
import type { KafkaSettings } from "../config/kafka_settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { CertificateStore } from "../net/certificate_store.ts";
import { systemAuthorities } from "../net/system_authorities.ts";
import type { KafkaClient, KafkaOptions, Listener, ProducerGroup } from "./kafka.ts";
import { RefusedLoginError } from "./setup_errors.ts";
import { StatusReporter } from "./status_reporter.ts";

/** A client that this runtime can load, and how it reaches the topic. */
export interface KafkaAccess {
  readonly client: KafkaClient;
  readonly options: KafkaOptions;
  /** The certificates in `options`, which may be replaced; null: without TLS. */
  readonly certificateStore: CertificateStore | null;
}

/**
 * Loads the client and the files that the settings name; connects to nothing. Throws a `UsageError`
 * with every problem of them.
 */
export async function kafkaAccess(settings: KafkaSettings): Promise<KafkaAccess> {
  const { bootstrapServers, topic, ssl, sasl } = settings;
  const problems: string[] = [];
  const client = await loadClient(settings.client).catch((error: unknown) => {
    if (!(error instanceof TypeError)) throw error;
    problems.push(error.message);
    return null;
  });
  // librdkafka finds the system's authorities by itself.
  const needsAuthorities = ssl.enabled && ssl.caFile === null && client?.name === "javascript";
  const files = { ...ssl, settings: SETTINGS };
  const certificates = await CertificateStore.load("Kafka", files, needsAuthorities ? systemAuthorities() : null);
  if ("problems" in certificates) problems.unshift(...certificates.problems);
  if (client?.name === "javascript" && hasManyCommas(sasl)) problems.push(MANY_COMMAS);
  if (client === null || "problems" in certificates || problems.length > 0) throw new UsageError(problems);
  const certificateStore = ssl.enabled ? certificates : null;
  const tls = certificateStore === null ? {} : { tls: certificateStore };
  return {
    client,
    certificateStore,
    options: { bootstrapServers, topic, ...tls, ...sasl !== null && { sasl } },
  };
}

/** The settings that name the files. */
const SETTINGS = {
  caFile: "KAFKA_SSL_CA_FILE (--kafka-ssl-ca-file)",
  keyFile: "KAFKA_SSL_KEY_FILE (--kafka-ssl-key-file)",
  certFile: "KAFKA_SSL_CERT_FILE (--kafka-ssl-cert-file)",
} as const;

/**
 * With SCRAM a comma in a name is written `=2C` (RFC 5802, section 5.1): the javascript client's
 * library does so with the first alone.
 */
function hasManyCommas(sasl: Login | null): boolean {
  return sasl !== null && sasl.mechanism !== "plain" && saslPrep(sasl.username).split(",").length > 2;
}

const MANY_COMMAS =
  "--kafka-sasl-username (KAFKA_SASL_USERNAME) has more than one comma, which the javascript client cannot send: take " +
  "another name, or under Node --kafka-client librdkafka (KAFKA_CLIENT)";

/** The topic and the way to it, for a person. */
export function describeTopic({ client, options }: KafkaAccess): string {
  const { topic, bootstrapServers, tls, sasl } = options;
  const way = tls === undefined ? "without TLS" : tls.cert === undefined ? "TLS" : "mutual TLS";
  const login = sasl === undefined ? "" : `, ${sasl.mechanism} as ${sasl.username}`;
  return `topic ${topic} at ${bootstrapServers.join(",")} (${client.name}, ${way}${login})`;
}

/**
 * The client that `choice` names; with `auto`, librdkafka where its add-on can be loaded, else the
 * one in plain TypeScript. Throws a TypeError where librdkafka is wanted and cannot be loaded. Each
 * client's code is loaded only when it is chosen: it is large, and looks around in the machine
 * while it loads.
 */
export async function loadClient(choice: ClientChoice): Promise<KafkaClient> {
  if (choice === "javascript") return await loadJavascript();
  const client = (await import("./librdkafka/client.ts")).loadLibrdkafkaClient();
  if (!("missing" in client)) return inEitherForm(client);
  if (choice === "auto") return await loadJavascript();
  throw new TypeError(
    `--kafka-client (KAFKA_CLIENT) is librdkafka, but ${client.missing}: write javascript, or leave it out`,
  );
}

/**
 * A group of producers. Always through the client in plain TypeScript, whichever sends the metrics:
 * librdkafka does not tell when the group was last heard. Connects to nothing yet.
 */
export async function producerGroup(
  { options }: KafkaAccess,
  group: string,
  listener: Listener,
  health: Health,
): Promise<ProducerGroup> {
  const { GroupedProducer } = await import("./javascript/producer_group.ts");
  const status = new StatusReporter((event, isTrouble) => {
    health.note(GROUP, isTrouble ? event : null);
    listener(event, isTrouble);
  });
  return new GroupedProducer(options, group, status);
}

/** The group's name in the health, beside Kafka itself. */
const GROUP = "the group";

async function loadJavascript(): Promise<KafkaClient> {
  return inEitherForm((await import("./javascript/client.ts")).client);
}

/**
 * A client that logs in with SCRAM, however the brokers keep name and password. RFC 5802 wants both
 * prepared (SASLprep). Apache Kafka and the tools that write its users take the bytes as they come,
 * and so do both libraries. Where preparing changes them, a login is tried as it is; if the brokers
 * refuse it, it is tried once more in its prepared form. The client that was let in stays.
 */
function inEitherForm(client: KafkaClient): KafkaClient {
  return {
    ...client,
    openProducer: (options, listener, signal) =>
      openInEitherForm(options, (options) => client.openProducer(options, listener, signal)),
    openConsumer: (options, listener, signal) =>
      openInEitherForm(options, (options) => client.openConsumer(options, listener, signal)),
  };
}

async function openInEitherForm<O extends KafkaOptions, T>(options: O, open: (options: O) => Promise<T>): Promise<T> {
  const prepared = preparedLogin(options.sasl);
  if (prepared === null) return await open(options);
  try {
    return await open(options);
  } catch (error) {
    if (!(error instanceof RefusedLoginError)) throw error;
    return await open({ ...options, sasl: prepared });
  }
}

/**
 * Null where nobody logs in with SCRAM, or preparing changes nothing: nearly always. PLAIN leaves
 * it to the brokers (RFC 4616).
 */
function preparedLogin(login: Login | undefined): Login | null {
  if (login === undefined || login.mechanism === "plain") return null;
  const prepared = { ...login, username: saslPrep(login.username), password: saslPrep(login.password) };
  return prepared.username === login.username && prepared.password === login.password ? null : prepared;
}

/** What the health calls Kafka. */
const PART = "Kafka";

/**
 * Calls `open` with a listener that notes in `health` whether Kafka can be reached, and passes on
 * what it hears.
 */
export async function openHealthily<T>(
  open: (listener: Listener) => Promise<T>,
  listener: Listener,
  health: Health,
): Promise<T> {
  health.note(PART, "Kafka was not reached yet");
  const opened = await open((event, isTrouble) => {
    health.note(PART, isTrouble ? event : null);
    listener(event, isTrouble);
  });
  health.note(PART, null);
  return opened;
}
