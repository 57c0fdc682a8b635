import { addAbortListener } from "node:events";
import { retry } from "../../async/retry.ts";
import { findRefusal } from "../handshake.ts";
import type { KafkaOptions } from "../kafka.ts";
import { refusedLogin, refusedTls, RefusedTlsError } from "../setup_errors.ts";
import { ANSWERING, notAnswering, type StatusReporter } from "../status_reporter.ts";
import { librdkafkaErrors, LOGIN_FAILURE } from "./errors.ts";
import type { Callback, NativeClient } from "./library.ts";

/**
 * Milliseconds for the first try to connect, and for a try after one that brought no answer at all.
 * The process cannot end during a try: Node waits for its threads. A longer try changes nothing
 * where nobody listens, but may help on a slow network.
 */
const CONNECT_LIMIT = 1_000;
const LONG_CONNECT_LIMIT = 3_000;

/**
 * Milliseconds between two looks for the events of a client that connects: only they tell errors of
 * TLS.
 */
const SERVE_EVERY = 50;

/** The words of the log for a certificate that either side refused. */
const TLS_FAILURE = /certificate|SSL alert/i;

/**
 * How a kind of client is made, and ended where it cannot connect. `serve` lets it deliver events
 * meanwhile.
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
 * A client that has reached a broker. Waits for a broker, with back-off. Rejects with an error that
 * is not passing, and with the last error when `signal` aborts. No client is left then: `signal`
 * ends the last try only when its time is up.
 */
export async function connected<C extends NativeClient>(
  { make, serve, close }: Opening<C>,
  options: KafkaOptions,
  { status, isPassing, signal }: Patience,
): Promise<C> {
  const onWait = (error: unknown) => status.report(notAnswering(librdkafkaErrors.reason(error)));
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
    const serving = setInterval(() => serve?.(client), SERVE_EVERY);
    try {
      await firstAnswer(client, connecting, look);
      return client;
    } catch (error) {
      // Awaited: a thread that the library leaves may shake hands while the process ends. OpenSSL
      // is then gone, and the process ends by SIGSEGV. The process would wait for the try anyway.
      // The answer comes first, since closing would wait for it on another of Node's few threads.
      const closed = connecting.then(() => close(client), () => {});
      const refusal = error instanceof RefusedTlsError ? findRefusal(options, signal) : null;
      const [found] = await Promise.all([refusal, closed]);
      throw found ?? error;
    } finally {
      clearInterval(serving);
    }
  };
  return await retry(connect, { signal, isPassing, onWait, onRecovery: () => status.settle(ANSWERING) });
}

interface Look {
  readonly topic: string;
  /** Hears of each try that failed: the library itself tries again until its time is up. */
  readonly onFailure: (error: Error) => void;
  readonly signal: AbortSignal;
}

/**
 * Connects. The add-on cannot stop a try: the promise settles when its time is up, whatever
 * happened.
 */
function begin(client: NativeClient, timeout: number): Promise<unknown> {
  return promised((done) => client.connect({ timeout, allTopics: false }, done));
}

/**
 * Waits for `connecting`, but rejects at once where an event says that no waiting helps. `connect`
 * itself says only that time is up.
 */
async function firstAnswer(client: NativeClient, connecting: Promise<unknown>, look: Look): Promise<void> {
  const { setupError, reason } = librdkafkaErrors;
  const { topic, onFailure, signal } = look;
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let last: Error | undefined;
  let isSettled = false;
  client.on("event.error", (error) => {
    const setup = setupError(error, topic);
    if (setup !== null) reject(setup);
  });
  // Only the log tells an error of TLS; the event says "broker transport failure" for any cause.
  client.on("event.log", ({ fac, message }) => {
    if (fac !== "FAIL") return;
    last = new Error(reason(message));
    // Later, somebody may be replacing certificates, and the library goes on trying by itself.
    if (isSettled) onFailure(last);
    else if (TLS_FAILURE.test(message)) reject(refusedTls(last.message));
    else if (LOGIN_FAILURE.test(last.message)) reject(refusedLogin(last.message, last));
    else onFailure(last);
  });
  using _listener = addAbortListener(signal, () => reject(last ?? signal.reason));
  connecting.then(resolve, (error) => reject(last ?? error));
  try {
    await promise;
  } finally {
    isSettled = true;
  }
}
