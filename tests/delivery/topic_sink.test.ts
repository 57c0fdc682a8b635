import { expect, it } from "vitest";
import { protocolErrorsCodesById } from "@platformatic/kafka";
import { createRequire } from "node:module";
import { RefusalReport } from "../../lib/delivery/refusal_report.ts";
import { MetricMessages, TopicSink } from "../../lib/delivery/topic_sink.ts";
import {
  DeliveryError,
  type KafkaProducer,
  KafkaSetupError,
  type OutgoingMessage,
  type Refusal,
} from "../../lib/kafka/kafka.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { PRODUCE_ERRORS, produceError, type ProduceRemedy } from "../../lib/kafka/produce_errors.ts";
import { StatusReporter } from "../../lib/kafka/status_reporter.ts";
import { undelivered } from "../../lib/kafka/undelivered.ts";
import type { Evidence, EvidencedMetric, Metric } from "../../lib/metric.ts";
import { skipped } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";

// The fate of metrics that a topic refuses. The topics here are rules in memory;
// tests/kafka/refused.test.ts has real ones.

const never = new AbortController().signal;
const metricOf = ({ value }: OutgoingMessage) => JSON.parse(value) as Metric;
const metric = (address: string, fields: Partial<Metric> = {}) => metricWith({ address, ...fields });
const TOO_LARGE: Refusal = { name: "MESSAGE_TOO_LARGE", remedy: "split" };
const INVALID: Refusal = { name: "INVALID_RECORD", remedy: "drop" };
const OLD: Refusal = { name: "INVALID_TIMESTAMP", remedy: "retime" };

type Rule = (batch: readonly OutgoingMessage[]) => Refusal | null;

/** A topic of one partition, which takes a whole batch or nothing of it. */
class RuledTopic implements KafkaProducer {
  readonly taken: OutgoingMessage[] = [];
  requests = 0;
  rule: Rule;

  constructor(rule: Rule) {
    this.rule = rule;
  }

  send(batch: readonly OutgoingMessage[]): Promise<void> {
    this.requests++;
    const refusal = this.rule(batch);
    if (refusal === null) return Promise.resolve(void this.taken.push(...batch));
    const refused = new Map(batch.map((message) => [message, refusal]));
    return Promise.reject(new DeliveryError(refusal.name, batch, { refused }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

const bytesOf = (batch: readonly OutgoingMessage[]) =>
  batch.reduce((sum, { key, value }) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
const atMost = (limit: number): Rule => (batch) => bytesOf(batch) > limit ? TOO_LARGE : null;

function open(rule: Rule) {
  const topic = new RuledTopic(rule);
  const events: [string, boolean][] = [];
  const sink = new TopicSink(() => Promise.resolve(topic), (event, isTrouble) => events.push([event, isTrouble]));
  return { topic, sink, events };
}

const addresses = (count: number) => Array.from({ length: count }, (_, n) => metric(`https://${n}.example`));

it.each([1_000, 1_500, 20_000])(
  "TopicSink keeps the order of metrics in a topic that takes %d bytes at a time",
  async (limit) => {
    const { topic, sink } = open(atMost(limit));
    for (let from = 0; from < 3; from++) expect(await sink.send(addresses(500), never)).toBe(0);
    expect(topic.taken.map(metricOf)).toEqual([...addresses(500), ...addresses(500), ...addresses(500)]);
  },
);

it("TopicSink learns what a topic takes: later metrics are hardly ever refused", async () => {
  const { topic, sink, events } = open(atMost(16_000));
  await sink.send(addresses(1_000), never);
  const before = topic.requests;
  await sink.send(addresses(1_000), never);
  // At 500 bytes a metric, a request holds 32 at most.
  expect(topic.requests - before).toBeLessThan(100);
  expect(events).toHaveLength(1);
});

it("TopicSink sends large pieces again once a topic takes them", async () => {
  const { topic, sink } = open(atMost(4_000));
  await sink.send(addresses(500), never);
  topic.rule = () => null;
  for (let n = 0; n < 40; n++) await sink.send(addresses(1_000), never);
  const before = topic.requests;
  await sink.send(addresses(1_000), never);
  expect(topic.requests - before).toBe(1);
});

it("TopicSink lets one metric that is too large not slow down the others", async () => {
  const large = metric(`https://large.example/${"x".repeat(5_000)}`);
  const { topic, sink } = open((batch) => batch.some(({ key }) => key.length > 4_000) ? TOO_LARGE : null);
  const mixed = () => [...addresses(400), large, ...addresses(400)];
  expect(await sink.send(mixed(), never)).toBe(1);
  const before = topic.requests;
  expect(await sink.send(mixed(), never)).toBe(1);
  expect(topic.requests - before).toBe(3);
  expect(topic.taken).toHaveLength(1_600);
});

it.each<[string, Partial<Metric>, number, Partial<Metric>]>([
  ["its error_detail", { error_detail: "d".repeat(900), location: "Ulm" }, 1_000, {
    error_detail: `${"d".repeat(200)}... (cut)`,
  }],
  ["more of its error_detail", { error_detail: "d".repeat(900) }, 600, { error_detail: `${"d".repeat(20)}... (cut)` }],
  ["its location", { error_detail: "dns", location: "l".repeat(900) }, 1_000, {
    location: `${"l".repeat(200)}... (cut)`,
  }],
  ["no half of a character", { error_detail: `${"d".repeat(199)}${"😀".repeat(300)}` }, 1_000, {
    error_detail: `${"d".repeat(199)}... (cut)`,
  }],
])("TopicSink cuts %s where a metric alone is too large", async (_what, fields, limit, cut) => {
  const { topic, sink, events } = open(atMost(limit));
  const whole = metric("https://a.example", fields);
  expect(await sink.send([whole], never)).toBe(0);
  expect(topic.taken.map(metricOf)).toEqual([{ ...whole, ...cut }]);
  expect(events[0]).toEqual([
    `The metric of https://a.example is too large for the topic (MESSAGE_TOO_LARGE): its ${
      Object.keys(cut)[0]
    } was cut`,
    false,
  ]);
});

it("TopicSink drops the one metric that a topic refuses for what it is, and keeps its neighbours", async () => {
  const { topic, sink, events } = open((batch) => batch.some(({ key }) => key.endsWith("/bad")) ? INVALID : null);
  const metrics = [metric("https://first.example/bad"), ...addresses(50), metric("https://last.example/bad")];
  expect(await sink.send(metrics, never)).toBe(2);
  expect(topic.taken.map(({ key }) => key)).toEqual(addresses(50).map(({ address }) => address));
  expect(events.map(([event]) => event)).toEqual([
    "The metric of https://first.example/bad is dropped: Kafka refuses it (INVALID_RECORD); look at the topic's settings",
    "The metric of https://last.example/bad is dropped: Kafka refuses it (INVALID_RECORD); look at the topic's settings",
  ]);
});

it.each<[string, Rule]>([
  ["for what they are", () => INVALID],
  ["for a size that ordinary ones have", () => TOO_LARGE],
])(
  "TopicSink drops nothing where a topic refuses all metrics %s: it waits, says so once, and says when it goes on",
  async (_what, rule) => {
    const { topic, sink, events } = open(rule);
    const sending = sink.send(addresses(20), never);
    await expect.poll(() => topic.requests, { timeout: 10_000 }).toBeGreaterThan(100);
    topic.rule = () => null;
    expect(await sending).toBe(0);
    expect(topic.taken).toHaveLength(20);
    const told = events.filter(([event]) => !event.startsWith("The topic takes no batch"));
    expect(told).toEqual([[expect.stringMatching(/^Kafka refuses every metric \(/), true], [
      "Kafka takes metrics again",
      false,
    ]]);
  },
);

it("TopicSink stops dropping where a topic that took metrics refuses all from now on", async () => {
  const { topic, sink, events } = open(() => null);
  await sink.send(addresses(10), never);
  topic.rule = () => INVALID;
  const giveUp = new AbortController();
  const sending = sink.send(addresses(300), giveUp.signal);
  await expect.poll(() => events.some(([, isTrouble]) => isTrouble), { timeout: 10_000 }).toBe(true);
  topic.rule = () => null;
  expect(await sending).toBe(100);
  expect(topic.taken).toHaveLength(210);
});

it("TopicSink gives metrics of long ago the time of now, or none, and leaves the metrics as they are", async () => {
  for (const [oldest, expected] of [[Date.now() - 1_000, "now"], [Infinity, -1]] as const) {
    const { topic, sink } = open((batch) => {
      return batch.some(({ timestamp }) => timestamp !== -1 && timestamp < oldest) ? OLD : null;
    });
    const sent = addresses(20);
    expect(await sink.send(sent, never)).toBe(0);
    expect(topic.taken.map(metricOf)).toEqual(sent);
    for (const { timestamp } of topic.taken) {
      if (expected === -1) expect(timestamp).toBe(-1);
      else expect(timestamp).toBeGreaterThanOrEqual(oldest);
    }
  }
});

it("RefusalReport tells ten metrics a minute, and then how many there were more", () => {
  const said: string[] = [];
  let now = 0;
  const report = new RefusalReport((text) => said.push(text), () => now);
  for (let n = 0; n < 25; n++) report.drops(`https://${n}.example`, TOO_LARGE, 5_000);
  now = 61_000;
  report.drops("https://next.example", TOO_LARGE, 5_000);
  expect(said).toHaveLength(11);
  expect(said.at(-1)).toBe(
    "The metric of https://next.example is dropped: Kafka refuses it (MESSAGE_TOO_LARGE, 5000 bytes before compression); " +
      "raise the topic's max.message.bytes; the same with 15 more before",
  );
});

it("every error of a produce request has the code that Kafka's protocol and librdkafka have for it", () => {
  const names: Readonly<Record<number, string>> = protocolErrorsCodesById;
  for (const [name, [code]] of Object.entries(PRODUCE_ERRORS)) {
    // -1 and above are codes of the protocol. Lower ones are librdkafka's own.
    if (code >= 0 || code === -1) {
      expect({ name, of: names[code] ?? "UNKNOWN_SERVER_ERROR" }).toEqual({ name, of: name });
    }
  }
  const codes = Object.values(PRODUCE_ERRORS).map(([code]) => code);
  expect(new Set(codes).size).toBe(codes.length);
});

it("every error of librdkafka's own has its code", ({ skip }) => {
  const library = loadLibrdkafka();
  if ("missing" in library) return void (skipped(library.missing), skip());
  const { CODES } = createRequire(import.meta.url)("@confluentinc/kafka-javascript") as {
    CODES: { ERRORS: Record<string, number> };
  };
  for (const [name, [code]] of Object.entries(PRODUCE_ERRORS)) {
    if (code < -1) expect({ name, code }).toEqual({ name, code: CODES.ERRORS[`ERR_${name}`] });
  }
});

const SORTED: Readonly<Record<ProduceRemedy, readonly string[]>> = {
  wait: [
    "CORRUPT_MESSAGE",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "THROTTLING_QUOTA_EXCEEDED",
    "KAFKA_STORAGE_ERROR",
    "UNKNOWN_TOPIC_ID",
    "_QUEUE_FULL",
    "_TIMED_OUT",
    "_PURGE_QUEUE",
    "_PURGE_INFLIGHT",
  ],
  renew: ["OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "UNKNOWN_PRODUCER_ID", "PRODUCER_FENCED", "_FATAL"],
  split: ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"],
  retime: ["INVALID_TIMESTAMP"],
  drop: ["INVALID_RECORD", "POLICY_VIOLATION"],
  stop: [
    "INVALID_REQUIRED_ACKS",
    "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
  ],
};

it("errors of a produce request end in waiting, another try, or a stop, by their names", () => {
  const message = { key: "a", value: "{}", timestamp: 0 };
  for (const [remedy, names] of Object.entries(SORTED)) {
    for (const name of names) {
      const said: string[] = [];
      const [code] = PRODUCE_ERRORS[name] ?? [];
      const error = undelivered(
        new Map([[message, produceError(code, "")]]),
        new StatusReporter((event) => said.push(event)),
      );
      const isTold = remedy === "wait" || remedy === "renew";
      expect({ name, stops: error instanceof KafkaSetupError }).toEqual({ name, stops: remedy === "stop" });
      expect({ name, said }).toEqual({
        name,
        said: isTold ? [`Kafka does not take messages (${name}): trying again`] : [],
      });
      if (!(error instanceof DeliveryError)) continue;
      expect({ name, refusal: error.refused.get(message)?.remedy }).toEqual({
        name,
        refusal: isTold ? undefined : remedy,
      });
    }
  }
});

it("an error that nobody knows is waited for and told", () => {
  const said: string[] = [];
  const message = { key: "a", value: "{}", timestamp: 0 };
  const error = undelivered(
    new Map([[message, produceError(4711, "a brand new one")]]),
    new StatusReporter((e) => said.push(e)),
  );
  expect(error).toBeInstanceOf(DeliveryError);
  expect(said).toEqual(["Kafka does not take messages (error 4711: a brand new one): trying again"]);
});

it("MetricMessages shortens a metric by its evidence first: the body, then the rest, then other texts", () => {
  const evidence: Evidence = { status_line: "HTTP/1.1 500 No", headers: { a: "b" }, body: "text" };
  const metric: EvidencedMetric = { ...metricWith({ error_detail: "x".repeat(500) }), evidence };
  const messages = new MetricMessages();
  const cuts: unknown[] = [];
  for (let shorter = messages.shortened(messages.of(metric)); shorter !== null;) {
    const { evidence, error_detail } = JSON.parse(String(shorter.message.value));
    cuts.push([shorter.cut, evidence, error_detail.length]);
    shorter = messages.shortened(shorter.message);
  }
  expect(cuts).toEqual([
    ["evidence", { ...evidence, body: null }, 500],
    ["evidence", null, 500],
    ["error_detail", null, 209],
    ["error_detail", null, 29],
  ]);
});
