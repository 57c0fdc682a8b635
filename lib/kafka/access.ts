import { saslPrep } from "../config/saslprep.ts";
import type { Login } from "../config/setting_types.ts";
import type { KafkaSettings } from "../config/kafka_settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { CertificateStore } from "../net/certificate_store.ts";
import { systemAuthorities } from "../net/system_authorities.ts";
import type { KafkaClient, KafkaOptions } from "./kafka.ts";
import { loadClient } from "./load_client.ts";

/** A client that this runtime can load, and how it reaches the topic. */
export interface KafkaAccess {
  readonly client: KafkaClient;
  readonly options: KafkaOptions;
  /** What `options` has for TLS, to be followed; null: without TLS. */
  readonly certificateStore: CertificateStore | null;
}

/**
 * Makes of the settings what the clients take; connects to nothing. Throws a `UsageError` with
 * every problem of files and client.
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
  const certificates = await CertificateStore.load("Kafka", ssl, needsAuthorities ? systemAuthorities() : null);
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

/** Where metrics go or come from, for a person. */
export function describeTopic({ client, options }: KafkaAccess): string {
  const { topic, bootstrapServers, tls, sasl } = options;
  const way = tls === undefined ? "without TLS" : tls.cert === undefined ? "TLS" : "mutual TLS";
  const login = sasl === undefined ? "" : `, ${sasl.mechanism} as ${sasl.username}`;
  return `topic ${topic} at ${bootstrapServers.join(",")} (${client.name}, ${way}${login})`;
}
