import { saslPrep } from "../config/saslprep.ts";
import type { Login } from "../config/setting_types.ts";
import type { KafkaClient, KafkaOptions } from "./kafka.ts";
import { RefusedLoginError } from "./setup.ts";

/**
 * A client that logs in with SCRAM whichever way the brokers keep name and password. RFC 5802 wants
 * both prepared (SASLprep); Apache Kafka, and the tools that write its users, take the bytes as
 * they come, and so do both libraries. So where that makes a difference a login is tried as it is,
 * and where it is refused once more in its prepared form; the one that was let in stays.
 */
export function inEitherForm(client: KafkaClient): KafkaClient {
  return {
    ...client,
    openProducer: (options, listener, signal) =>
      open(options, (options) => client.openProducer(options, listener, signal)),
    openConsumer: (options, listener, signal) =>
      open(options, (options) => client.openConsumer(options, listener, signal)),
  };
}

async function open<O extends KafkaOptions, T>(options: O, opening: (options: O) => Promise<T>): Promise<T> {
  const prepared = preparedLogin(options.sasl);
  if (prepared === null) return await opening(options);
  try {
    return await opening(options);
  } catch (error) {
    if (!(error instanceof RefusedLoginError)) throw error;
    return await opening({ ...options, sasl: prepared });
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
