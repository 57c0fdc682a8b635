import { retry } from "../../async/retry.ts";
import type { DescribedTopic } from "../topic_snapshot.ts";
import { findRefusal } from "../handshake.ts";
import { type KafkaOptions, KafkaSetupError } from "../kafka.ts";
import { ANSWER_LIMIT, CLIENT_ID } from "../client_settings.ts";
import {
  isPassing,
  missingTopic,
  MissingTopicError,
  refusedLogin,
  refusedRight,
  refusedTls,
  RefusedTlsError,
} from "../setup_errors.ts";
import { ANSWERING, notAnswering, type StatusReporter } from "../status_reporter.ts";
import { topicIdHex } from "../topic_id.ts";
import type { Callback, Librdkafka, NativeAdmin, NativeClient, NativeError, Settings } from "./library.ts";

/**
 * Milliseconds for the first try to connect, and for one after a try that got no word at all. While
 * it lasts the process cannot end: Node waits for its threads. Where nobody listens a longer try
 * would change nothing; on a slow way it may.
 */
const CONNECT_LIMIT = 1_000;
const LONG_CONNECT_LIMIT = 3_000;

/** Milliseconds between two looks for events of a client that is connecting: errors of TLS are told there only. */
const SERVE_EVERY = 50;

/** Error codes: of librdkafka below 0, of the Kafka protocol above. */
const AUTHENTICATION = -169;
/** How the log says that a certificate was refused, by either side. */
const TLS_FAILURE = /certificate|SSL alert/i;
/** The same for a login. */
const LOGIN_FAILURE = /^SASL |SASL authentication error|sasl mechanism/i;
const UNKNOWN_TOPIC = new Set([-188, 3]);
const UNAUTHORIZED = new Set([29, 30, 31]);
const TOPIC_EXISTS = 36;

/** What every client of the library is opened with. */
export function connectionSettings({ bootstrapServers, tls, sasl }: KafkaOptions): Settings {
  return {
    "client.id": CLIENT_ID,
    "bootstrap.servers": bootstrapServers.join(","),
    "reconnect.backoff.max.ms": 2000,
    "topic.metadata.refresh.interval.ms": 30_000,
    "security.protocol": `${sasl === undefined ? "" : "sasl_"}${tls === undefined ? "plaintext" : "ssl"}`,
    ...sasl === undefined ? {} : {
      "sasl.mechanisms": sasl.mechanism.toUpperCase(),
      "sasl.username": sasl.username,
      "sasl.password": sasl.password,
    },
    ...tls === undefined ? {} : {
      // The certificate's chain is verified by default; its name only with this.
      "ssl.endpoint.identification.algorithm": "https",
      ...tls.ca === undefined ? { "ssl.ca.location": "probe" } : { "ssl.ca.pem": tls.ca },
      ...tls.key === undefined ? {} : { "ssl.key.pem": tls.key, "ssl.certificate.pem": tls.cert },
    },
  };
}

/**
 * How a kind of client is made, and ended where it failed to connect; `serve` lets it deliver
 * events while it tries.
 */
export interface Opening<C> {
  make(): C;
  serve?(client: C): void;
  close(client: C): Promise<void>;
}

/** A call with a callback as a promise. */
export function promised<T>(call: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => call((error, result) => error ? reject(error) : resolve(result)));
}

/** How long to try, whom to tell, and what waiting may mend. */
export interface Patience {
  readonly status: StatusReporter;
  readonly isPassing: (error: unknown) => boolean;
  readonly signal: AbortSignal;
}

/**
 * A client that has reached a broker. Waits for one, with back-off. Rejects with what is not
 * passing, and with the last failure when `signal` aborts.
 */
export async function connected<C extends NativeClient>(
  { make, serve, close }: Opening<C>,
  options: KafkaOptions,
  { status, isPassing, signal }: Patience,
): Promise<C> {
  const onWait = (error: unknown) => status.report(notAnswering(reason(error)));
  let limit = CONNECT_LIMIT;
  const connect = async () => {
    const client = make();
    const connecting = begin(client, limit);
    limit = LONG_CONNECT_LIMIT;
    const onFailure = (error: Error) => {
      limit = CONNECT_LIMIT;
      onWait(error);
    };
    const look = { topic: options.topic, onFailure, signal };
    const serving = setInterval(() => client.isConnected() && serve?.(client), SERVE_EVERY);
    try {
      await firstAnswer(client, connecting, look);
      return client;
    } catch (error) {
      // Deliberately not awaited: the library takes its time, and nobody needs this client any
      // more. Not before its answer either: closing waits for that on another of the few threads on
      // which Node resolves names.
      void connecting.then(() => close(client), () => {});
      throw error instanceof RefusedTlsError ? await findRefusal(options, signal) ?? error : error;
    } finally {
      clearInterval(serving);
    }
  };
  return await retry(connect, { signal, isPassing, onWait, onRecovery: () => status.settle(ANSWERING) });
}

interface Look {
  readonly topic: string;
  /** Told of each try that failed: the library itself tries again until its time is up. */
  readonly onFailure: (error: Error) => void;
  readonly signal: AbortSignal;
}

/** Connects. The add-on cannot be called off: this settles when its time is up, whatever happened. */
function begin(client: NativeClient, timeout: number): Promise<unknown> {
  return promised((done) => client.connect({ timeout, allTopics: false }, done));
}

/**
 * Waits for `connecting`, but rejects at once where an event says that no waiting helps: `connect`
 * itself tells only that time is up.
 */
async function firstAnswer(client: NativeClient, connecting: Promise<unknown>, look: Look): Promise<void> {
  const { topic, onFailure, signal } = look;
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let last: Error | undefined;
  let isSettled = false;
  client.on("event.error", (error) => {
    const setup = asSetupError(error, topic);
    if (setup !== null) reject(setup);
  });
  // What is wrong with TLS is in the log only; the error is "broker transport failure", whatever it was.
  client.on("event.log", ({ fac, message }) => {
    if (fac !== "FAIL") return;
    last = new Error(reason(message));
    // Later, certificates may be about to change, and the library tries on by itself.
    if (isSettled) onFailure(last);
    else if (TLS_FAILURE.test(message)) reject(refusedTls(last.message));
    else if (LOGIN_FAILURE.test(last.message)) reject(refusedLogin(last.message, last));
    else onFailure(last);
  });
  const abort = () => reject(last ?? signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  connecting.then(resolve, (error) => reject(last ?? error));
  try {
    await promise;
  } finally {
    isSettled = true;
    signal.removeEventListener("abort", abort);
  }
}

/** The partitions and the id of a topic that can be read in full. Throws `KafkaSetupError` where it does not exist. */
export async function describeTopic(admin: Questions, topic: string): Promise<DescribedTopic> {
  const { leaderless, ...described } = await identifyTopic(admin, topic);
  if (leaderless.length > 0) throw new Error(`A partition of ${topic} has no leader`);
  return described;
}

/** The same of one that may have partitions that nobody leads for the moment. */
export async function identifyTopic(
  admin: Questions,
  topic: string,
): Promise<DescribedTopic & { readonly leaderless: readonly number[] }> {
  const [found] = await promised<readonly Described[]>((done) => {
    admin.describeTopics([topic], { timeout: ANSWER_LIMIT }, done as never);
  });
  if (found === undefined || found.error) throw found?.error ?? missingTopic(topic);
  if (found.partitions.length === 0) throw missingTopic(topic);
  const id = topicIdHex(found.topicId);
  // The other client would name the cluster instead, which this one is not told.
  if (id === null) {
    throw new KafkaSetupError("This Kafka is older than 2.8: use --kafka-client javascript (KAFKA_CLIENT)");
  }
  const leaderless = found.partitions.filter(({ leader }) => leader === null).map(({ partition }) => partition);
  return { id, partitions: found.partitions.length, leaderless };
}

type Questions = Pick<NativeAdmin, "describeTopics">;
type Described = Parameters<Parameters<NativeAdmin["describeTopics"]>[2]>[1][number];

/**
 * Waits until a broker knows a consumer's topic, of which some partitions may have no leader.
 * Throws `KafkaSetupError` where none does.
 */
export async function findTopic(
  library: Librdkafka,
  client: NativeClient,
  topic: string,
  signal: AbortSignal,
): Promise<void> {
  const admin = library.AdminClient.createFrom(client);
  await retry(() => identifyTopic(admin, topic).catch(rethrow(topic)), { signal, isPassing });
}

/** Sees to it that a producer's topic exists: makes it where it is missing and `partitions` says how. */
export async function ensureTopic(
  library: Librdkafka,
  client: NativeClient,
  topic: string,
  partitions: number | null,
  signal: AbortSignal,
): Promise<void> {
  const admin = library.AdminClient.createFrom(client);
  const look = () => describeTopic(admin, topic).catch(rethrow(topic));
  try {
    await retry(look, { signal, isPassing });
  } catch (error) {
    if (!(error instanceof MissingTopicError) || partitions === null) throw error;
    await createTopic(admin, topic, partitions);
    // Its absence passes now: one broker made it, and the others will hear of it.
    await retry(look, { signal, isPassing: (error) => error instanceof MissingTopicError || isPassing(error) });
  }
}

async function createTopic(admin: NativeAdmin, topic: string, partitions: number): Promise<void> {
  const wanted = { topic, num_partitions: partitions, replication_factor: -1 };
  try {
    await promised((done) => admin.createTopic(wanted, ANSWER_LIMIT, done));
  } catch (error) {
    if ((error as NativeError).code !== TOPIC_EXISTS) rethrow(topic)(error);
  }
}

/** For `catch`: throws what a person can do something about instead of an error that tells only what happened. */
export function rethrow(topic: string): (error: unknown) => never {
  return (error) => {
    throw asSetupError(error, topic) ?? error;
  };
}

/** An error of the library as something that no waiting mends, whenever it comes, or null. */
export function asSetupError(error: unknown, topic: string): KafkaSetupError | null {
  if (error instanceof KafkaSetupError) return error;
  const { code, message } = Object(error) as NativeError;
  if (UNKNOWN_TOPIC.has(code)) return missingTopic(topic);
  // Events come without their code.
  if (UNAUTHORIZED.has(code) || / authorization failed$/i.test(message ?? "")) return refusedRight(message, error);
  const isLogin = code === AUTHENTICATION || LOGIN_FAILURE.test(message ?? "");
  return isLogin ? refusedLogin(reason(error), error) : null;
}

/** What went wrong, for a person: without "[thrd:…]", "(after 5ms in state CONNECT)" and counts of repetitions. */
export function reason(error: unknown): string {
  const text = typeof error === "string" ? error : (error as Error | null)?.message ?? String(error);
  return text.replace(/^\[thrd:[^\]]*\]: /, "").replace(/ \(after \d+ms.*$/s, "");
}

/** True where the library says that this client will not work again. Events come without their code, but in words. */
export function isFatal(error: NativeError): boolean {
  return error.isFatal === true || /fatal error/i.test(error.message);
}
