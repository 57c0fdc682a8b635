import { KafkaSetupError } from "../kafka.ts";
import { type ErrorReader, missingTopic, refusedLogin, refusedRight } from "../setup_errors.ts";
import type { NativeError } from "./library.ts";

/** Error codes: of librdkafka below 0, of the Kafka protocol above. */
const AUTHENTICATION = -169;
const UNKNOWN_TOPIC = new Set([-188, 3]);
const UNAUTHORIZED = new Set([29, 30, 31]);

/** The words of the log, and of errors, for a login that was refused. */
export const LOGIN_FAILURE = /^SASL |SASL authentication error|sasl mechanism/i;

/** The errors of librdkafka. */
export const librdkafkaErrors: ErrorReader = {
  setupError(error, topic) {
    if (error instanceof KafkaSetupError) return error;
    const { code, message = "" } = Object(error) as Partial<NativeError>;
    const isOf = (codes: ReadonlySet<number>) => code !== undefined && codes.has(code);
    if (isOf(UNKNOWN_TOPIC)) return missingTopic(topic);
    // Events come without their code.
    if (isOf(UNAUTHORIZED) || / authorization failed$/i.test(message)) return refusedRight(message, error);
    const isLogin = code === AUTHENTICATION || LOGIN_FAILURE.test(message);
    return isLogin ? refusedLogin(librdkafkaErrors.reason(error), error) : null;
  },

  // Without "[thrd:…]", "(after 5ms in state CONNECT)" and counts of repetitions.
  reason(error) {
    const text = typeof error === "string" ? error : (error as Error | null)?.message ?? String(error);
    return text.replace(/^\[thrd:[^\]]*\]: /, "").replace(/ \(after \d+ms.*$/s, "");
  },
};

/**
 * True where the library says that a client will not work again. Events come without their code,
 * but in words.
 */
export function isFatal(error: NativeError): boolean {
  return error.isFatal === true || /fatal error/i.test(error.message);
}
