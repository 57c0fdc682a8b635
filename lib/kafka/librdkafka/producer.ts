import { type KafkaProducer, KafkaSetupError, type OutgoingMessage } from "../kafka.ts";
import { type ProduceError, produceError } from "../produce_errors.ts";
import { missingTopic } from "../setup_errors.ts";
import { notTaking, reportingIfSlow, type StatusReporter, TAKING } from "../status_reporter.ts";
import { undelivered } from "../undelivered.ts";
import { isFatal, librdkafkaErrors } from "./errors.ts";
import { whenBrokersAreForgotten } from "./forgotten_brokers.ts";
import type { NativeError, NativeProducer } from "./library.ts";
import { closeProducer, pollProducer } from "./native_clients.ts";

/**
 * Messages, and characters of them, handed to the library at a time: its queue takes 100,000, and
 * 64 MiB.
 */
const CHUNK = 10_000;
const CHUNK_CHARACTERS = 8 * 1024 * 1024;
/**
 * Milliseconds that brokers have to confirm messages of a client with old certificates, once one
 * with new certificates has reached a broker.
 */
const SUCCESSION_LIMIT = 30_000;
/**
 * Milliseconds between two looks for delivery reports, while messages wait for some and while none
 * does.
 */
const POLL_EVERY = 10;
const POLL_IDLE = 500;

/** The messages of one call that the library has been given. */
class Delivery {
  readonly #waiting: Set<OutgoingMessage>;
  readonly #done = Promise.withResolvers<void>();
  /** The messages that no broker has confirmed, and why. */
  readonly errors = new Map<OutgoingMessage, ProduceError>();

  constructor(messages: readonly OutgoingMessage[]) {
    this.#waiting = new Set(messages);
  }

  /** Resolves when there is a report on each message. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  report(message: OutgoingMessage, error: unknown): void {
    if (!this.#waiting.delete(message)) return;
    if (error) this.errors.set(message, asProduceError(error));
    if (this.#waiting.size === 0) this.#done.resolve();
  }

  /** Ends the waiting for reports. */
  giveUp(error: unknown): void {
    const left = asProduceError(error);
    for (const message of this.#waiting) this.errors.set(message, left);
    this.#waiting.clear();
    if (error instanceof KafkaSetupError) this.#done.reject(error);
    else this.#done.resolve();
  }
}

/** Where new connected clients come from. Both end when `signal` aborts. */
export interface ProducerClients {
  /** For a client that the library calls broken, or that has forgotten all brokers. */
  replacement(signal: AbortSignal): Promise<NativeProducer>;
  /** For a client with outdated certificates, each time that they are replaced. */
  renewals(signal: AbortSignal): AsyncIterable<NativeProducer>;
}

/** Sends with librdkafka, which batches, retries and keeps the order by itself. */
export class LibrdkafkaProducer implements KafkaProducer {
  readonly #topic: string;
  readonly #status: StatusReporter;
  readonly #clients: ProducerClients;
  readonly #closing = new AbortController();
  #client: NativeProducer;
  /** Takes over when no message is on its way. */
  #successor: NativeProducer | undefined;
  #broken = false;
  /** What opens and closes clients in the background: see `asyncDispose`. */
  readonly #renewal: Promise<void>;
  #replacing: Promise<void> = Promise.resolve();
  #retired: Promise<unknown> = Promise.resolve();
  #delivery: Delivery | undefined;
  #succession: ReturnType<typeof setTimeout> | undefined;

  /** `client` is connected. */
  constructor(client: NativeProducer, clients: ProducerClients, topic: string, status: StatusReporter) {
    this.#topic = topic;
    this.#status = status;
    this.#clients = clients;
    this.#client = client;
    this.#listen(client);
    this.#renewal = this.#renew();
  }

  async send(messages: readonly OutgoingMessage[]): Promise<void> {
    const errors = new Map<OutgoingMessage, ProduceError>();
    for (let sent = 0; sent < messages.length;) {
      const chunk = nextChunk(messages, sent);
      sent += chunk.length;
      const delivery = await reportingIfSlow(this.#deliver(chunk), this.#status);
      for (const [message, error] of delivery.errors) errors.set(message, error);
    }
    if (errors.size === 0) return this.#status.settle(TAKING);
    this.#closing.signal.throwIfAborted();
    if ([...errors.values()].some(({ name }) => name === "_UNKNOWN_TOPIC")) throw missingTopic(this.#topic);
    throw undelivered(inOrder(messages, errors), this.#status);
  }

  async #deliver(chunk: readonly OutgoingMessage[]): Promise<Delivery> {
    if (this.#broken) await (this.#replacing = this.#replace());
    const client = this.#client;
    const delivery = this.#delivery = new Delivery(chunk);
    for (const message of chunk) this.#hand(client, message, delivery);
    // Beside the library's own timer, which does not keep the program alive.
    const poll = setInterval(() => pollProducer(client), POLL_EVERY);
    try {
      await delivery.done;
    } finally {
      clearInterval(poll);
      clearTimeout(this.#succession);
      this.#delivery = undefined;
      this.#succeed();
    }
    return delivery;
  }

  #hand(client: NativeProducer, message: OutgoingMessage, delivery: Delivery): void {
    try {
      const value = Buffer.from(message.value);
      client.produce(this.#topic, null, value, message.key, message.timestamp, { message, delivery });
    } catch (error) {
      delivery.report(message, error);
    }
  }

  /** The handlers must not throw: the add-on would call them again at once, for ever. */
  #listen(client: NativeProducer): void {
    client.on("delivery-report", (error, { opaque }) => {
      const { message, delivery } = opaque as { message: OutgoingMessage; delivery: Delivery };
      delivery.report(message, error);
    });
    client.on("event.error", (error) => client === this.#client && this.#hear(error));
    whenBrokersAreForgotten(client, (reason) => client === this.#client && this.#abandon(reason));
    client.setPollInterval(POLL_IDLE);
  }

  #hear(error: NativeError): void {
    const setup = librdkafkaErrors.setupError(error, this.#topic);
    if (setup !== null) this.#delivery?.giveUp(setup);
    else if (isFatal(error)) this.#abandon(error);
    else this.#status.report(notTaking(librdkafkaErrors.reason(error)));
  }

  /**
   * Gives up the client. The next one sends its unconfirmed messages, and no broker can know them.
   */
  #abandon(reason: Error): void {
    this.#broken = true;
    this.#delivery?.giveUp(reason);
  }

  async #replace(): Promise<void> {
    await closeProducer(this.#client);
    const successor = this.#successor;
    this.#successor = undefined;
    this.#client = successor ?? await this.#clients.replacement(this.#closing.signal);
    this.#broken = false;
    this.#listen(this.#client);
  }

  async #renew(): Promise<void> {
    for await (const client of this.#clients.renewals(this.#closing.signal)) {
      const unused = this.#closing.signal.aborted ? client : this.#successor;
      if (unused !== client) this.#successor = client;
      if (unused !== undefined) await closeProducer(unused);
      this.#succeed();
    }
  }

  /**
   * Changes clients between two deliveries: each waits for its last report, so the old client holds
   * no message.
   */
  #succeed(): void {
    const [old, successor] = [this.#client, this.#successor];
    if (successor === undefined || this.#broken) return;
    if (this.#delivery !== undefined) return this.#expectEnd(this.#delivery);
    this.#successor = undefined;
    this.#client = successor;
    this.#listen(successor);
    // Deliberately not awaited: closing takes time, and only the end of all waits for it.
    this.#retired = Promise.all([this.#retired, closeProducer(old)]);
  }

  /**
   * Gives a delivery a time to end: with old certificates, a client may wait in vain and without
   * end.
   */
  #expectEnd(delivery: Delivery): void {
    clearTimeout(this.#succession);
    this.#succession = setTimeout(() => {
      if (this.#delivery === delivery) this.#abandon(new Error("its certificates are outdated"));
    }, SUCCESSION_LIMIT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#succession);
    const reason = new Error("the producer was closed");
    this.#closing.abort(reason);
    this.#delivery?.giveUp(reason);
    // No client is left: a thread of one may end the process by a signal, see `connected`.
    await Promise.allSettled([this.#renewal, this.#replacing, this.#retired]);
    await Promise.all([this.#client, this.#successor].map((client) => client && closeProducer(client)));
  }
}

/** The messages from `start` on that fit the library's queue: at least one. */
function nextChunk(messages: readonly OutgoingMessage[], start: number): readonly OutgoingMessage[] {
  let characters = 0;
  let end = start;
  while (end < messages.length && end - start < CHUNK && characters < CHUNK_CHARACTERS) {
    const { key, value } = messages[end++] as OutgoingMessage;
    characters += key.length + value.length;
  }
  return messages.slice(start, end);
}

/** Errors in the order of their messages: reports come in the order of answers. */
function inOrder<T>(messages: readonly OutgoingMessage[], errors: ReadonlyMap<OutgoingMessage, T>) {
  return new Map(messages.flatMap((message) => {
    const error = errors.get(message);
    return error === undefined ? [] : [[message, error] as const];
  }));
}

function asProduceError(error: unknown): ProduceError {
  const { code } = Object(error) as Partial<NativeError>;
  return produceError(typeof code === "number" ? code : undefined, librdkafkaErrors.reason(error));
}
