import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TopicSink } from "../../lib/delivery/topic_sink.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Metric } from "../../lib/metric.ts";
import { loadKeyMaterial } from "../../lib/net/tls.ts";
import { freePort } from "../../tools/free_ports.ts";
import { type KafkaServer, startKafka } from "../../tools/kafka/kafka.ts";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";
import { type Relay, relay } from "../support/relay.ts";
import { readTopic } from "../support/topic_reader.ts";

// The broker has appended a producer's messages, but can no longer answer. It is away for longer
// than clients usually wait.

/** Milliseconds. librdkafka and the producer once gave up after 30 s. */
const OUTAGE = 31_000;

const library = loadLibrdkafka();
const usable = (["javascript", "librdkafka"] as const).filter((name) => {
  return name === "javascript" || !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`);
});
const never = new AbortController().signal;
/**
 * Metrics of the present time. A broker that starts again forgets producers whose newest message is
 * a day old.
 */
const several = (count: number) =>
  Array.from({ length: count }, (_, n) => {
    const checked_at = new Date().toISOString();
    return metricWith({ address: `https://${n}.example`, check_id: crypto.randomUUID(), checked_at });
  });

describe.runIf(canRunKafka())("a broker that dies with its answers unsaid", () => {
  let directory: string;
  let broker: KafkaServer;
  let way: Relay;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "host-checker-outage-"));
    const [plainPort, mtlsPort] = [await freePort(), await freePort()];
    way = await relay(0, "127.0.0.1", plainPort);
    // Clients go through the relay, also to the leaders of partitions.
    const advertised = `PLAIN://localhost:${way.port},MTLS://localhost:${mtlsPort}`;
    broker = await startKafka({ directory, plainPort, mtlsPort, settings: { "advertised.listeners": advertised } });
  }, 120_000);
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    await way?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  }, 60_000);

  it("holds each message once after 31 s, with every client", async () => {
    const loaded = await loadKeyMaterial(broker.certificates);
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    const reader = await loadClient("javascript");
    const idsIn = async (topic: string) => {
      const messages = await readTopic(reader, { bootstrapServers: [broker.mtls], topic, tls: loaded.material });
      return messages.map(({ value }) => (JSON.parse(new TextDecoder().decode(value ?? undefined)) as Metric).check_id);
    };
    const sinks = await Promise.all(usable.map(async (name) => {
      const client = await loadClient(name);
      const events: string[] = [];
      const options = { bootstrapServers: [`localhost:${way.port}`], topic: `outage-${name}`, partitions: 3 };
      const sink = new TopicSink((signal) => client.openProducer(options, (event) => events.push(event), signal));
      const sent = several(20);
      await sink.send(sent, never);
      return { name, sink, sent, events, topic: options.topic };
    }));
    try {
      way.silence("answers");
      const sending = sinks.map(({ sink, sent }) => {
        const more = several(300);
        sent.push(...more);
        return sink.send(more, never);
      });
      // The broker has appended some, and nobody knows it. The others wait in the client until
      // there is room for more.
      for (const { topic } of sinks) {
        await expect.poll(async () => (await idsIn(topic)).length, { timeout: 60_000, interval: 200 }).toBeGreaterThan(
          250,
        );
      }
      await broker.kill();
      await delay(OUTAGE);
      await broker.restart();
      await Promise.all(sending);
      for (const { sink, sent } of sinks) {
        const last = several(50);
        sent.push(...last);
        await sink.send(last, never);
      }
      for (const { name, topic, sent, events } of sinks) {
        const ids = await idsIn(topic);
        expect({ name, ids: ids.toSorted() }).toEqual({ name, ids: sent.map(({ check_id }) => check_id).toSorted() });
        expect(events.at(-1)).toBe("Kafka takes messages again");
      }
    } finally {
      await Promise.all(sinks.map(({ sink }) => sink[Symbol.asyncDispose]()));
    }
  }, 240_000);
});
