import { type EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { FindPositions, KafkaClient } from "../../lib/kafka/kafka.ts";
import { type Librdkafka, loadLibrdkafka, type NativeClient } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { promised } from "../../lib/kafka/librdkafka/connection.ts";
import { closeProducer, newProducer, pollProducer } from "../../lib/kafka/librdkafka/native_clients.ts";
import { type KeyMaterial, type LiveKeyMaterial, loadKeyMaterial } from "../../lib/net/tls.ts";
import { type Certificates, makeCertificates } from "../../tools/kafka/certificates.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { each } from "../support/each.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { placesAt } from "../support/log_positions.ts";
import { Replaceable } from "../support/replaceable.ts";

// librdkafka reads certificates only when a client is made, and may forget all brokers for ever. tests/programs/rotation.test.ts has the
// restart of a broker with both clients.

// On a slow machine each of several attempts to connect fails after a second.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const library = loadLibrdkafka();
const canRun = canRunKafka() && (!("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`));
const untilStopped = AbortSignal.timeout(600_000);
const decode = (bytes: Uint8Array | null) => new TextDecoder().decode(bytes ?? undefined);

describe.runIf(canRun)("librdkafka", () => {
  let broker: KafkaServer;
  let client: KafkaClient;
  let good: KeyMaterial;
  let stranger: KeyMaterial;
  let count = 0;
  let topic: string;

  beforeAll(async () => {
    broker = await temporaryKafka();
    client = await loadClient("librdkafka");
    good = await material(broker.certificates);
    const directory = await mkdtemp(join(tmpdir(), "host-checker-stranger-"));
    stranger = await material(await makeCertificates(directory));
    await rm(directory, { recursive: true });
  });
  afterAll(() => broker?.[Symbol.asyncDispose](), 30_000);
  beforeEach(() => void (topic = `renewal-${++count}`));

  const optionsWith = (tls: LiveKeyMaterial) => ({ bootstrapServers: [broker.mtls], topic, tls });
  const message = (n: number) => ({
    key: `https://${n % 10}.example`,
    value: String(n),
    timestamp: 1_700_000_000_000 + n,
  });

  /**
   * Sends `messages(0)`, `messages(1)`, … a hundred at a time while `condition` does not hold.
   * Gives their number.
   */
  async function sendUntil(condition: () => boolean, send: (from: number) => Promise<void>): Promise<number> {
    let sent = 0;
    for (; !condition(); sent += 100) await send(sent);
    return sent;
  }

  const hundred = (from: number) => Array.from({ length: 100 }, (_, n) => message(from + n));

  it("a client that is being closed may be polled, though it says that it is connected and throws", async () => {
    // Nobody sees the moment in which it throws each time: another one is closed until somebody does.
    let thrown = 0;
    while (thrown === 0) {
      const producer = newProducer(library as Librdkafka, optionsWith(good));
      await promised((done) => producer.connect({ timeout: 30_000, allTopics: false }, done));
      let isClosed = false;
      const closing = closeProducer(producer).then(() => isClosed = true);
      while (!isClosed) {
        pollProducer(producer);
        try {
          if (producer.isConnected()) producer.poll();
        } catch {
          thrown++;
        }
        await nextTurn();
      }
      await closing;
    }
    expect(thrown).toBeGreaterThan(0);
  });

  it("a producer goes over to a client with the new certificates between two deliveries: all arrives once, in order", async () => {
    using made = recordClients("Producer");
    const tls = new Replaceable(good);
    await using producer = await client.openProducer({ ...optionsWith(tls), partitions: 3 }, () => {}, untilStopped);
    let sent = 0;
    for (let renewal = 1; renewal <= 3; renewal++) {
      tls.replace(good);
      const isOver = () => made.clients[renewal]?.isConnected() === true && !made.clients[renewal - 1]?.isConnected();
      const before = sent;
      sent += await sendUntil(isOver, (from) => producer.send(hundred(before + from)));
    }
    await producer.send(hundred(sent));
    sent += 100;
    const values = new Map<string, number[]>();
    await using consumer = await openReader(await loadClient("javascript"), optionsWith(good));
    let read = 0;
    for await (const { key, value } of consumer.messages()) {
      const numbers = values.get(decode(key)) ?? [];
      values.set(decode(key), numbers);
      // The array is the same each time: on a slow machine a renewal takes long, and there are many
      // messages.
      numbers.push(Number(decode(value)));
      if (++read === sent) consumer.stop();
    }
    expect(values).toEqual(Map.groupBy(Array.from({ length: sent }, (_, n) => n), (n) => message(n).key));
    expect(made.clients).toHaveLength(4);
  });

  it("a consumer joins again with a client that has the new certificates, and reads on where it was", async () => {
    using made = recordClients("KafkaConsumer");
    const tls = new Replaceable(good);
    const sender = await loadClient("javascript");
    await using producer = await sender.openProducer({ ...optionsWith(good), partitions: 3 }, () => {}, untilStopped);
    await producer.send(hundred(0));
    await using consumer = await openReader(client, optionsWith(tls));
    const values: number[] = [];
    const reading = (async () => {
      for await (const { value } of consumer.messages()) values.push(Number(decode(value)));
    })();
    await expect.poll(() => values.length, { timeout: 30_000 }).toBe(100);
    tls.replace(good);
    await expect.poll(() => made.clients.map((client) => client.isConnected()), { timeout: 30_000 }).toEqual([
      false,
      true,
    ]);
    await producer.send(hundred(100));
    await expect.poll(() => values.length, { timeout: 30_000 }).toBe(200);
    consumer.stop();
    await reading;
    expect(values.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  it("a producer sends on with the old certificates while brokers refuse the new, says so once, and takes the next", async () => {
    using made = recordClients("Producer");
    const tls = new Replaceable(good);
    const heard: unknown[] = [];
    const listener = (event: string, isTrouble: boolean) => heard.push([event, isTrouble]);
    await using producer = await client.openProducer({ ...optionsWith(tls), partitions: 1 }, listener, untilStopped);
    const [first] = made.clients;
    tls.replace(stranger);
    const refused = /^TLS with the Kafka broker failed .*; until that is mended, the old certificates stay in use$/;
    await expect.poll(() => heard, { timeout: 30_000 }).toEqual([[expect.stringMatching(refused), false]]);
    // The producer tries again and again, with a new client each time.
    await expect.poll(() => made.clients.length, { timeout: 30_000 }).toBeGreaterThan(3);
    await producer.send(hundred(0));
    expect(first?.isConnected()).toBe(true);
    tls.replace(good);
    await sendUntil(() => first?.isConnected() === false, (from) => producer.send(hundred(from)));
    await producer.send(hundred(0));
    expect(heard).toHaveLength(1);
  });

  // A look of the library at itself that finds no broker, but the internal one and the group's.
  const nobody = {
    message: JSON.stringify({ brokers: { ":0/internal": { source: "internal" }, group: { source: "logical" } } }),
  };

  it("a producer whose client has forgotten all brokers goes over to another one, and any other stays", async () => {
    using made = recordClients("Producer");
    const options = optionsWith(good);
    await using producer = await client.openProducer({ ...options, partitions: 1 }, () => {}, untilStopped);
    const [first] = made.clients as unknown as [NativeClient & EventEmitter];
    await producer.send(hundred(0));
    first.emit("event.stats", nobody);
    // The library tells of its broker every few seconds.
    await once(first, "event.stats");
    first.emit("event.stats", nobody);
    await producer.send(hundred(100));
    expect([first.isConnected(), made.clients.length]).toEqual([true, 1]);
    first.emit("event.stats", nobody);
    await producer.send(hundred(200));
    expect([first.isConnected(), made.clients.length]).toEqual([false, 2]);
  });

  it("a member whose client has forgotten all brokers ends, and the next one goes on", async () => {
    await using producer = await client.openProducer({ ...optionsWith(good), partitions: 1 }, () => {}, untilStopped);
    await producer.send(hundred(0));
    using made = recordClients("KafkaConsumer");
    await using reader = await openReader(client, optionsWith(good));
    let read = 0;
    for await (const _ of reader.messages()) {
      if (++read === 100) {
        const [first] = made.clients as unknown as [NativeClient & EventEmitter];
        for (let look = 0; look < 2; look++) first.emit("event.stats", nobody);
        await producer.send(hundred(100));
      }
      if (read === 200) reader.stop();
    }
    expect(made.clients.length).toBe(2);
  });
});

async function material({ caFile, keyFile, certFile }: Certificates): Promise<KeyMaterial> {
  const loaded = await loadKeyMaterial({ caFile, keyFile, certFile });
  if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
  return loaded.material;
}

/** Records each new client of a kind from now on. */
function recordClients(kind: "Producer" | "KafkaConsumer"): Disposable & { readonly clients: readonly NativeClient[] } {
  const module = library as { -readonly [K in keyof Librdkafka]: Librdkafka[K] };
  const Original = module[kind] as new (settings: object) => NativeClient;
  const clients: NativeClient[] = [];
  const record = function (settings: object) {
    const client = new Original(settings);
    clients.push(client);
    return client;
  };
  Object.assign(module, { [kind]: record });
  return { clients, [Symbol.dispose]: () => void Object.assign(module, { [kind]: Original }) };
}

/**
 * A consumer that reads each partition from its beginning. Later readings go on where the last one
 * ended.
 */
async function openReader(client: KafkaClient, options: Parameters<KafkaClient["openConsumer"]>[0] | object) {
  const wanted = { ...options, group: crypto.randomUUID(), start: "earliest" } as Parameters<
    KafkaClient["openConsumer"]
  >[0];
  const consumer = await client.openConsumer(wanted, () => {}, untilStopped);
  const next = new Map<number, number>();
  const stop = new AbortController();
  const position: FindPositions = ({ partitions }) =>
    Promise.resolve(
      placesAt(partitions.map(({ partition, logStart }) => [partition, next.get(partition) ?? logStart])),
    );
  return {
    stop: () => stop.abort(),
    async *messages() {
      for await (const reading of consumer.readings(position, stop.signal)) {
        for await (const message of each(reading.messages)) {
          next.set(message.partition, message.offset + 1);
          yield message;
        }
      }
    },
    [Symbol.asyncDispose]: () => consumer[Symbol.asyncDispose](),
  };
}
