import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { Admin, type Base, type BaseOptions } from "@platformatic/kafka";
import { retry } from "../../async/retry.ts";
import { systemAuthorities } from "../../net/system_authorities.ts";
import type { LiveKeyMaterial } from "../../net/tls.ts";
import type { DescribedTopic } from "../topic_snapshot.ts";
import { type KafkaOptions, KafkaSetupError } from "../kafka.ts";
import { CLIENT_ID } from "../client_settings.ts";
import {
  isPassing,
  missingTopic,
  MissingTopicError,
  refusedLogin,
  refusedRight,
  refusedTls,
  type RefusedTlsError,
} from "../setup_errors.ts";

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
  // The certificate's name is checked with or without; the name is sent along (SNI) where there is
  // one: an address must not be.
  const named = !bootstrapServers.some((server) => isIP(server.replace(/:\d*$/, "").replace(/^\[|\]$/g, "")) !== 0);
  return { ...base, tls: atEachConnection(tls), ...named && { tlsServerName: true } };
}

/** The library copies what it is given for TLS whenever it connects, and gets what is the newest then. */
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

/** As `identifyTopic`, of a topic that can be read in full. */
export async function describeTopic(client: Base, topic: string): Promise<TopicDescription> {
  const found = await identifyTopic(client, topic);
  if (found.leaderless.length > 0) throw new Error(`A partition of ${topic} has no leader`);
  return found;
}

/**
 * The number of the topic's partitions, those that nobody leads, its id, and the cluster's. Throws
 * `KafkaSetupError` where it does not exist.
 */
export async function identifyTopic(client: Base, topic: string): Promise<TopicDescription> {
  // Asked anew: a cached answer may be from before the topic was made, or from an earlier topic of this name.
  const { id: cluster, topics } = await client.metadata({ topics: [topic], forceUpdate: true });
  const found = topics.get(topic);
  if (found === undefined || found.partitionsCount === 0) throw missingTopic(topic);
  const all = [...found.partitions.keys()];
  const leaderless = all.filter((partition) => (found.partitions[partition]?.leader ?? -1) < 0);
  return { cluster, id: found.id, partitions: found.partitionsCount, leaderless };
}

export interface TopicDescription extends DescribedTopic {
  readonly cluster: string;
  readonly leaderless: readonly number[];
}

/** Makes a topic, and waits until the brokers know of it. One that is there already is left as it is. */
export async function createTopic(options: KafkaOptions, partitions: number, signal: AbortSignal): Promise<void> {
  const admin = new Admin({ ...connectionOptions(options), retries: 3 });
  try {
    await admin.createTopics({ topics: [options.topic], partitions, replicas: -1 }).catch((error) => {
      if (!leaves(error).some(({ apiId }) => apiId === "TOPIC_ALREADY_EXISTS")) throw error;
    });
    // Its absence passes now: one broker made it, and the others will hear of it.
    const isWaiting = (error: unknown) => error instanceof MissingTopicError || isPassing(error);
    const look = () => describeTopic(admin, options.topic).catch(rethrow(options.topic));
    await retry(look, { signal, isPassing: isWaiting });
  } finally {
    await admin.close().catch(() => {});
  }
}

/** For `catch`: throws what a person can do something about instead of an error that tells only what happened. */
export function rethrow(topic: string): (error: unknown) => never {
  return (error) => {
    throw asSetupError(error, topic) ?? error;
  };
}

/** What the library says of TLS where that is what failed, or null. */
export function asRefusedTls(error: unknown): RefusedTlsError | null {
  const tls = leaves(error).find(({ code = "", message }) => TLS_CODE.test(code) || TLS_WORDS.test(message));
  return tls === undefined ? null : refusedTls(tls.message);
}

/** An error of the library as something that no waiting mends, whenever it comes, or null. */
export function asSetupError(error: unknown, topic: string): KafkaSetupError | null {
  if (error instanceof KafkaSetupError) return error;
  const all = leaves(error);
  const login = all.find(({ apiId, message }) =>
    LOGIN_IDS.has(apiId ?? "") || /^SASL|authentication failed/i.test(message)
  );
  if (login !== undefined) return refusedLogin(login.message, error);
  const right = all.find(({ apiId }) => apiId?.endsWith("_AUTHORIZATION_FAILED"));
  if (right !== undefined) return refusedRight(right.message, error);
  return all.some(({ message }) => /^Unknown topic /.test(message)) ? missingTopic(topic) : null;
}

/**
 * The last thing that went wrong, for a person: the library's outer errors say only that something
 * failed so many times.
 */
export function reason(error: unknown): string {
  return leaves(error).at(-1)?.message ?? String(error);
}

const LOGIN_IDS = new Set(["SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"]);

// What node:tls says on Node (codes) and on Deno (words of its TLS library).
const TLS_CODE = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|EPROTO)/;
const TLS_WORDS = /certificate|requires TLS|received fatal alert/i;

interface Leaf {
  readonly message: string;
  readonly code?: string;
  readonly apiId?: string;
}

/** The innermost causes of an error: the library wraps them in several layers. */
export function leaves(error: unknown): readonly Leaf[] {
  if (!(error instanceof Error)) return [{ message: String(error) }];
  const inner = [...(error instanceof AggregateError ? error.errors : []), ...(error.cause ? [error.cause] : [])];
  return inner.length === 0 ? [error as Leaf] : inner.flatMap(leaves);
}
