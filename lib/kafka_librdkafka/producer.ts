import { DeliveryError, type KafkaOptions, type KafkaProducer, type OutgoingMessage } from "../kafka.ts";
import { asSetupError, connectionSettings, isFatal, reason } from "./connection.ts";
import { CLOSE_LIMIT, DELIVERY_LIMIT, type Troubles, within } from "../kafka/setup.ts";
import type { Librdkafka, NativeError, NativeProducer } from "./library.ts";

/** Messages handed to the library at a time: its queue takes 100,000. */
const CHUNK = 10_000;
/** Milliseconds between two looks for delivery reports, while some are awaited and while none are. */
const POLL_EVERY = 10;
const POLL_IDLE = 500;

/** A client that is idempotent and reports on every message. Not yet connected. */
export function newProducer(library: Librdkafka, options: KafkaOptions): NativeProducer {
  return new library.Producer({
    ...connectionSettings(options),
    "enable.idempotence": true,
    "acks": -1,
    "compression.codec": "lz4",
    // Java's default, so that every producer puts an address into the same partition.
    "partitioner": "murmur2_random",
    "linger.ms": 5,
    "message.timeout.ms": DELIVERY_LIMIT,
    "queue.buffering.max.kbytes": 65_536,
    "dr_cb": true,
  });
}

/** Lets a client deliver its events. */
export function pollProducer(client: NativeProducer): void {
  client.poll();
}

/** Ends a client; what it has not yet sent is dropped, since nobody waits for it. */
export async function closeProducer(client: NativeProducer): Promise<void> {
  if (!client.isConnected()) return;
  await within(CLOSE_LIMIT, new Promise((closed) => client.disconnect(1, closed)));
}

/** The messages of one call that the library has been given. */
class Delivery {
  readonly #waiting: Set<OutgoingMessage>;
  readonly #failed = new Set<OutgoingMessage>();
  readonly #done = Promise.withResolvers<void>();
  error: unknown;

  constructor(messages: readonly OutgoingMessage[]) {
    this.#waiting = new Set(messages);
  }

  /** Resolves when there is a report on each message. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** What no broker has confirmed, in order. */
  get unconfirmed(): OutgoingMessage[] {
    return [...this.#failed, ...this.#waiting];
  }

  report(message: OutgoingMessage, error: unknown): void {
    if (!this.#waiting.delete(message)) return;
    if (error) {
      this.#failed.add(message);
      this.error ??= error;
    }
    if (this.#waiting.size === 0) this.#done.resolve();
  }

  /** Waits no longer. */
  giveUp(error: unknown): void {
    this.error ??= error;
    this.#done.resolve();
  }
}

/** Where new clients come from, connected. Both end when `signal` aborts. */
export interface Clients {
  /** For one that the library calls broken. */
  replacement(signal: AbortSignal): Promise<NativeProducer>;
  /** For one whose certificates are outdated, whenever they are. */
  renewals(signal: AbortSignal): AsyncIterable<NativeProducer>;
}

/** Sends with librdkafka, which batches, retries and keeps the order by itself. */
export class LibrdkafkaProducer implements KafkaProducer {
  readonly #topic: string;
  readonly #troubles: Troubles;
  readonly #clients: Clients;
  readonly #closing = new AbortController();
  #client: NativeProducer;
  /** Takes over when no message is on its way. */
  #successor: NativeProducer | undefined;
  #broken = false;
  #delivery: Delivery | undefined;

  /** `client` is connected. */
  constructor(client: NativeProducer, clients: Clients, topic: string, troubles: Troubles) {
    this.#topic = topic;
    this.#troubles = troubles;
    this.#clients = clients;
    this.#client = client;
    this.#listen(client);
    void this.#renew();
  }

  async send(messages: readonly OutgoingMessage[]): Promise<void> {
    for (let sent = 0; sent < messages.length;) {
      const chunk = messages.slice(sent, sent + CHUNK);
      sent += chunk.length;
      const delivery = await this.#deliver(chunk);
      const undelivered = delivery.unconfirmed;
      if (undelivered.length === 0) continue;
      const setup = asSetupError(delivery.error, this.#topic);
      if (setup !== null) throw setup;
      undelivered.push(...messages.slice(sent));
      const text = `${undelivered.length} messages were not confirmed by Kafka: ${reason(delivery.error)}`;
      throw new DeliveryError(text, undelivered, { cause: delivery.error });
    }
    this.#troubles.settle("Kafka takes messages again");
  }

  async #deliver(chunk: readonly OutgoingMessage[]): Promise<Delivery> {
    if (this.#broken) await this.#replace();
    const client = this.#client;
    const delivery = this.#delivery = new Delivery(chunk);
    for (const message of chunk) this.#hand(client, message, delivery);
    // Ours, beside the library's own, which does not keep the program alive.
    const poll = setInterval(() => client.isConnected() && client.poll(), POLL_EVERY);
    await delivery.done;
    clearInterval(poll);
    this.#delivery = undefined;
    this.#succeed();
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
    client.setPollInterval(POLL_IDLE);
  }

  #hear(error: NativeError): void {
    if (isFatal(error)) {
      this.#broken = true;
      this.#delivery?.giveUp(error);
      return;
    }
    const setup = asSetupError(error, this.#topic);
    if (setup !== null) this.#delivery?.giveUp(setup);
    else this.#troubles.report(`Kafka does not take messages (${reason(error)}): trying again`);
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

  /** Each delivery waits for the report on its last message: between two of them the old client holds nothing. */
  #succeed(): void {
    const [old, successor] = [this.#client, this.#successor];
    if (successor === undefined || this.#broken || this.#delivery !== undefined) return;
    this.#successor = undefined;
    this.#client = successor;
    this.#listen(successor);
    // Deliberately not awaited: it takes its time, and nobody waits for it.
    void closeProducer(old);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new Error("the producer was closed");
    this.#closing.abort(reason);
    this.#delivery?.giveUp(reason);
    await Promise.all([this.#client, this.#successor].map((client) => client && closeProducer(client)));
  }
}
