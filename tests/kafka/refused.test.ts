import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Compression } from "../../lib/config/setting_types.ts";
import { TopicSink } from "../../lib/delivery/topic_sink.ts";
import type { KafkaClient } from "../../lib/kafka/kafka.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { encodeMetric, type Metric } from "../../lib/metric.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";
import { readTopic } from "../support/topic_reader.ts";
import { makeTopic } from "../support/topic_settings.ts";

// Messages that a real broker refuses, with both clients.

vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 });

const library = loadLibrdkafka();
const usable = (["javascript", "librdkafka"] as const).filter((name) => {
  return name === "javascript" || !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`);
});
const never = new AbortController().signal;

const metric = (address: string, fields: Partial<Metric> = {}) =>
  metricWith({ address, check_id: crypto.randomUUID(), ...fields });
const several = (count: number, fields: Partial<Metric> = {}) =>
  Array.from({ length: count }, (_, n) => metric(`https://${n % 20}.example/${crypto.randomUUID()}`, fields));
/** Random characters: others would be compressed until they fit. */
const noise = (length: number) => randomBytes(length).toString("base64url").slice(0, length);

describe.runIf(canRunKafka())("a topic that refuses", () => {
  let broker: KafkaServer;
  let count = 0;
  beforeAll(async () => {
    broker = await temporaryKafka();
    // The first producer of a broker may be told that the broker is still loading. No test here is
    // about that.
    await send(await loadClient("javascript"), await newTopic({}), several(1));
  }, 120_000);
  afterAll(() => broker?.[Symbol.asyncDispose](), 30_000);

  const newTopic = async (settings: Record<string, string>, partitions = 3) => {
    const topic = `refusing-${++count}`;
    await makeTopic(broker.plain, topic, partitions, settings);
    return topic;
  };
  const read = async (client: KafkaClient, topic: string) => {
    const messages = await readTopic(client, { bootstrapServers: [broker.plain], topic });
    const metrics = messages.map(({ value }) => JSON.parse(new TextDecoder().decode(value ?? undefined)) as Metric);
    return { messages, metrics };
  };
  /** Sends metrics in one call. Gives the number of dropped ones, and the reports. */
  async function send(
    client: KafkaClient,
    topic: string,
    metrics: readonly Metric[],
    compression: Compression = "lz4",
  ) {
    const events: string[] = [];
    const options = { bootstrapServers: [broker.plain], topic, partitions: null, compression };
    const open = (signal: AbortSignal) => client.openProducer(options, (event) => events.push(event), signal);
    await using sink = new TopicSink(open, (event) => events.push(event));
    return { dropped: await sink.send(metrics, never), events };
  }

  describe.each(usable)("through %s", (name) => {
    let client: KafkaClient;
    beforeAll(async () => void (client = await loadClient(name)));

    it.each([["1500", 300], ["16384", 1000], ["65536", 1000]])(
      "batches above its max.message.bytes of %s gets all metrics, in smaller ones",
      async (limit, many) => {
        const topic = await newTopic({ "max.message.bytes": limit }, 1);
        const sent = Array.from({ length: many }, () => several(1, { error_detail: noise(400) })).flat();
        const { dropped, events } = await send(client, topic, sent);
        expect(dropped).toBe(0);
        // The report comes once, whatever else makes the metrics wait at a broker that has just
        // started.
        expect(events.filter((event) => event.includes("MESSAGE_TOO_LARGE"))).toEqual([
          expect.stringContaining("The topic takes no batch of metrics that is so large (MESSAGE_TOO_LARGE)"),
        ]);
        const { metrics } = await read(client, topic);
        const byId = (all: readonly Metric[]) => all.toSorted((a, b) => a.check_id! < b.check_id! ? -1 : 1);
        expect(byId(metrics)).toEqual(byId(sent));
      },
    );

    it("a metric with a long address gets the others, and that one is dropped and said", async () => {
      const topic = await newTopic({ "max.message.bytes": "1500" });
      const long = metric(`https://long.example/${noise(1900)}`);
      const others = several(40);
      const { dropped, events } = await send(client, topic, [...others.slice(0, 20), long, ...others.slice(20)]);
      expect(dropped).toBe(1);
      expect(events.join("\n")).toContain(
        `The metric of ${long.address.slice(0, 200)}... is dropped: Kafka refuses it (MESSAGE_TOO_LARGE`,
      );
      const { metrics } = await read(client, topic);
      expect(new Set(metrics.map(({ check_id }) => check_id))).toEqual(new Set(others.map(({ check_id }) => check_id)));
      expect(metrics.length).toBe(others.length);
    });

    it("a metric with a long detail gets it shortened, with a mark", async () => {
      const topic = await newTopic({ "max.message.bytes": "1500" });
      const detail = noise(3000);
      const long = metric("https://long.example", { error: "tls", error_detail: detail });
      const { dropped, events } = await send(client, topic, [...several(5), long, ...several(5)]);
      expect(dropped).toBe(0);
      expect(events.join("\n")).toContain(
        "The metric of https://long.example is too large for the topic (MESSAGE_TOO_LARGE): its error_detail was cut",
      );
      const { metrics } = await read(client, topic);
      expect(metrics.length).toBe(11);
      const found = metrics.find(({ check_id }) => check_id === long.check_id);
      expect(found).toEqual({ ...long, error_detail: `${detail.slice(0, 200)}... (cut)` });
    });

    it("metrics for their number alone loses none, whatever is in the way", async () => {
      const topic = await newTopic({ "max.message.bytes": "2000" });
      const longs = Array.from({ length: 7 }, (_, n) => metric(`https://long.example/${n}/${noise(2500)}`));
      const sent = several(300).flatMap((one, n) => n % 50 === 3 ? [longs[Math.floor(n / 50)]!, one] : [one]);
      const { dropped } = await send(client, topic, sent);
      const { metrics } = await read(client, topic);
      expect({ dropped, stored: new Set(metrics.map(({ check_id }) => check_id)).size, all: metrics.length }).toEqual({
        dropped: 6,
        stored: 300,
        all: 300,
      });
    });

    it.each([
      ["old", { "message.timestamp.before.max.ms": "3600000" }, "2020-01-31T12:00:00.004Z"],
      ["future", { "message.timestamp.after.max.ms": "3600000" }, "2099-01-31T12:00:00.004Z"],
    ])(
      "times that are too %s gets the metrics with another time for the message",
      async (_what, settings, checked_at) => {
        const topic = await newTopic(settings);
        const sent = several(50, { checked_at });
        const { dropped, events } = await send(client, topic, sent);
        expect({ dropped, events }).toEqual({ dropped: 0, events: [expect.stringContaining("INVALID_TIMESTAMP")] });
        const { metrics, messages } = await read(client, topic);
        expect(metrics.map(({ checked_at }) => checked_at)).toEqual(sent.map(({ checked_at }) => checked_at));
        for (const { timestamp } of messages) expect(Math.abs(timestamp - Date.now())).toBeLessThan(600_000);
      },
    );

    it("every time but none gets the metrics without one", async () => {
      // A broker whose clock is an hour behind refuses the present time. This one takes nothing but
      // the present millisecond.
      const topic = await newTopic({ "message.timestamp.before.max.ms": "0", "message.timestamp.after.max.ms": "0" });
      const sent = several(50);
      expect(await send(client, topic, sent)).toMatchObject({ dropped: 0 });
      const { metrics } = await read(client, topic);
      expect(metrics.length).toBe(50);
    });

    it("every metric for its size is waited for, which is told, and drops none", async () => {
      const topic = await newTopic({ "max.message.bytes": "100" });
      const events: [string, boolean][] = [];
      const options = { bootstrapServers: [broker.plain], topic, partitions: null };
      const open = (signal: AbortSignal) => client.openProducer(options, () => {}, signal);
      const giveUp = new AbortController();
      await using sink = new TopicSink(open, (event, isTrouble) => {
        events.push([event, isTrouble]);
        if (isTrouble) giveUp.abort(new Error("seen"));
      });
      await expect(sink.send(several(3), giveUp.signal)).rejects.toThrow("seen");
      expect(events.at(-1)).toEqual([
        expect.stringMatching(/^Kafka refuses every metric \(MESSAGE_TOO_LARGE, \d+ bytes/),
        true,
      ]);
    });

    it("nothing gets a message that is larger than the library's own limit", async () => {
      const topic = await newTopic({ "max.message.bytes": "4000000" });
      const large = metric("https://large.example", { error_detail: noise(1_500_000) });
      expect(await send(client, topic, [large])).toEqual({ dropped: 0, events: [] });
      // The consumer keeps the beginning of such a long value, and says how long the value is.
      const [message] = await readTopic(client, { bootstrapServers: [broker.plain], topic });
      expect(message?.valueLength).toBe(encodeMetric(large).length);
    });

    it.each(["none", "gzip", "snappy", "lz4", "zstd"] as const)(
      "no %s is read with the other client",
      async (compression) => {
        const topic = await newTopic({});
        const sent = several(200);
        await send(client, topic, sent, compression);
        const other = await loadClient(usable.find((one) => one !== name) ?? name);
        const { metrics } = await read(other, topic);
        expect(new Set(metrics.map(({ check_id }) => check_id))).toEqual(new Set(sent.map(({ check_id }) => check_id)));
      },
    );
  });
});
