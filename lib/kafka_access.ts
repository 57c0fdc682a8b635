import type { KafkaClient, KafkaOptions } from "./kafka.ts";
import { loadClient } from "./kafka_client.ts";
import type { KafkaSettings } from "./settings.ts";
import { systemAuthorities } from "./system_authorities.ts";
import { loadKeyMaterial } from "./tls.ts";
import { UsageError } from "./usage_error.ts";

/** A client that this runtime can load, and how it reaches the topic. */
export interface KafkaAccess {
  readonly client: KafkaClient;
  readonly options: KafkaOptions;
}

/** Makes of the settings what the clients take; connects to nothing. Throws a `UsageError` with every problem of files and client. */
export async function kafkaAccess(settings: KafkaSettings): Promise<KafkaAccess> {
  const { bootstrapServers, topic, ssl, sasl } = settings;
  const problems: string[] = [];
  const loaded = await loadKeyMaterial(ssl);
  if ("problems" in loaded) problems.push(...loaded.problems);
  const client = await loadClient(settings.client).catch((error: unknown) => {
    if (!(error instanceof TypeError)) throw error;
    problems.push(error.message);
    return null;
  });
  if (client === null || "problems" in loaded || problems.length > 0) throw new UsageError(problems);
  const { material } = loaded;
  // librdkafka finds the system's authorities by itself.
  const needsAuthorities = material.ca === undefined && client.name === "javascript";
  const tls = ssl.enabled ? { tls: needsAuthorities ? { ...material, ca: systemAuthorities() } : material } : {};
  return { client, options: { bootstrapServers, topic, ...tls, ...sasl !== null && { sasl } } };
}

/** Where metrics go or come from, for a person. */
export function describeTopic({ client, options }: KafkaAccess): string {
  const { topic, bootstrapServers, tls, sasl } = options;
  const way = tls === undefined ? "without TLS" : tls.cert === undefined ? "TLS" : "mutual TLS";
  const login = sasl === undefined ? "" : `, ${sasl.mechanism} as ${sasl.username}`;
  return `topic ${topic} at ${bootstrapServers.join(",")} (${client.name}, ${way}${login})`;
}
