import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { Base, BaseOptions } from "@platformatic/kafka";
import { systemAuthorities } from "../../net/system_authorities.ts";
import type { LiveKeyMaterial } from "../../net/tls.ts";
import { CLIENT_ID } from "../client_settings.ts";
import type { KafkaOptions } from "../kafka.ts";
import { missingTopic } from "../setup_errors.ts";
import { type TopicDescription, topicIdHex } from "../topic.ts";

/** What every client of the library is opened with. */
export function connectionOptions({ bootstrapServers, tls, sasl }: KafkaOptions): BaseOptions {
  const base = {
    clientId: CLIENT_ID,
    bootstrapBrokers: [...bootstrapServers],
    connectTimeout: 5000,
    retryDelay: 300,
    ...sasl !== undefined && { sasl: { ...sasl, mechanism: MECHANISMS[sasl.mechanism] } },
  };
  if (tls === undefined) return base;
  // This sends the broker's name along (SNI), where it is no address. The certificate's name is
  // checked in any case.
  const named = !bootstrapServers.some((server) => isIP(server.replace(/:\d*$/, "").replace(/^\[|\]$/g, "")) !== 0);
  return { ...base, tls: atEachConnection(tls), ...named && { tlsServerName: true } };
}

/** Key material for TLS: the library copies it whenever it connects, and gets the newest then. */
function atEachConnection(tls: LiveKeyMaterial): ConnectionOptions {
  return {
    get ca() {
      return tls.ca ?? systemAuthorities();
    },
    get key() {
      return tls.key;
    },
    get cert() {
      return tls.cert;
    },
  };
}

const MECHANISMS = { "plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512" } as const;

/**
 * Asks a client of the library about a topic. Throws a `MissingTopicError` where it does not exist.
 */
export async function identifyTopic(client: Base, topic: string): Promise<TopicDescription> {
  // Asked anew: a cached answer may be from before the topic was made, or from an earlier topic of
  // this name.
  const { id: cluster, topics } = await client.metadata({ topics: [topic], forceUpdate: true });
  const found = topics.get(topic);
  if (found === undefined || found.partitionsCount === 0) throw missingTopic(topic);
  const all = [...found.partitions.keys()];
  const leaderless = all.filter((partition) => (found.partitions[partition]?.leader ?? -1) < 0);
  return { id: topicIdHex(found.id) ?? `${cluster}/${topic}`, partitions: found.partitionsCount, leaderless };
}
