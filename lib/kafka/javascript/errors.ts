import { KafkaSetupError } from "../kafka.ts";
import {
  type ErrorReader,
  missingTls,
  missingTopic,
  refusedLogin,
  refusedRight,
  refusedTls,
  type RefusedTlsError,
} from "../setup_errors.ts";

const NOT_READY = new Set(["COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"]);
const LOGIN_IDS = new Set(["SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"]);

// The words of node:tls on Node (codes) and on Deno (texts of its TLS library).
const TLS_CODE = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|EPROTO)/;
const TLS_WORDS = /certificate|received fatal alert/i;
/** How node:tls calls a connection that ends before TLS begins. */
const NO_TLS = "Client network socket disconnected before secure TLS connection was established";
/** How the library calls a broker that answers in TLS. */
const TLS_IS_MISSING = "Broker requires TLS.";

/** The errors of `@platformatic/kafka`. */
export const javascriptErrors: ErrorReader = {
  setupError(error, topic) {
    if (error instanceof KafkaSetupError) return error;
    const all = leaves(error);
    const login = all.find(({ apiId, message }) =>
      LOGIN_IDS.has(apiId ?? "") || /^SASL|authentication failed/i.test(message)
    );
    if (login !== undefined) return refusedLogin(login.message, error);
    const right = all.find(({ apiId }) => apiId?.endsWith("_AUTHORIZATION_FAILED"));
    if (right !== undefined) return refusedRight(right.message, error);
    return all.some(({ message }) => /^Unknown topic /.test(message)) ? missingTopic(topic) : null;
  },

  // The last thing that went wrong: the library's outer errors say only that something failed so
  // many times.
  reason(error) {
    const message = leaves(error).at(-1)?.message ?? String(error);
    return message === NO_TLS ? "the broker ended the connection before TLS began: is that port one for TLS?" : message;
  },

  isNotReady: (error) => leaves(error).some(({ apiId }) => NOT_READY.has(apiId ?? "")),
};

/** What the library says of TLS where that is what failed, or null. */
export function asRefusedTls(error: unknown): RefusedTlsError | null {
  const all = leaves(error);
  if (all.some(({ message }) => message === TLS_IS_MISSING)) return missingTls();
  const tls = all.find(({ code = "", message }) => TLS_CODE.test(code) || TLS_WORDS.test(message));
  return tls === undefined ? null : refusedTls(tls.message);
}

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
