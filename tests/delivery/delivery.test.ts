import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { deliver, LineSink, MemoryOutbox } from "../../lib/delivery/delivery.ts";
import { TopicSink } from "../../lib/delivery/topic_sink.ts";
import { LineConsumer } from "../../lib/ingest/line_consumer.ts";
import { transfer } from "../../lib/ingest/transfer.ts";
import { DeliveryError, type KafkaProducer, KafkaSetupError, type OutgoingMessage } from "../../lib/kafka/kafka.ts";
import { decodeMetric, type Metric } from "../../lib/metric.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { Store } from "../../lib/postgres/store.ts";
import { each } from "../support/each.ts";
import { newEmbedded } from "../support/embedded.ts";
import { placesAt } from "../support/log_positions.ts";

const bytes = new TextEncoder();
const never = new AbortController().signal;
const NOON = Date.parse("2026-03-01T12:00:00Z");

function metric(address: string): Metric {
  const four = JSON.stringify({ address, status_code: 200, latency: 1, is_valid: true });
  return decodeMetric(bytes.encode(four), NOON) as Metric;
}

const addressOf = (text: string) => (JSON.parse(text) as Metric).address;

/**
 * A producer in memory. The next of `answers` answers each `send`. After the last of them it takes
 * all messages.
 */
class MemoryProducer implements KafkaProducer {
  readonly sent: (readonly OutgoingMessage[])[] = [];
  isClosed = false;
  readonly #answers: ((messages: readonly OutgoingMessage[]) => Promise<void>)[];

  constructor(...answers: ((messages: readonly OutgoingMessage[]) => Promise<void>)[]) {
    this.#answers = answers;
  }

  async send(messages: readonly OutgoingMessage[]): Promise<void> {
    this.sent.push(messages);
    await this.#answers.shift()?.(messages);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

/** Confirms the first `count` messages. */
const confirm = (count: number) => (messages: readonly OutgoingMessage[]) =>
  Promise.reject(new DeliveryError("not confirmed", messages.slice(count)));
const silence = () => new Promise<never>(() => {});

describe("deliver", () => {
  const outboxOf = (...addresses: string[]) => {
    const outbox = new MemoryOutbox(Infinity);
    for (const address of addresses) outbox.push(metric(address));
    return outbox;
  };

  it("deliver sends in order what comes, in pieces of at most 1000, and acknowledges what was delivered", async () => {
    const addresses = Array.from({ length: 2500 }, (_, n) => String(n));
    const outbox = outboxOf(...addresses);
    const producer = new MemoryProducer();
    outbox.end();
    const acknowledge = vi.spyOn(outbox, "acknowledge");
    await deliver(outbox, new TopicSink(() => Promise.resolve(producer)), never);
    expect(acknowledge.mock.calls).toEqual([[1000, 0], [1000, 0], [500, 0]]);
    expect(producer.sent.flat().map(({ key }) => key)).toEqual(addresses);
    expect(outbox.figures).toEqual({ made: 2500, delivered: 2500, waiting: 0, kept: 0, dropped: 0 });
  });

  it("deliver gives out a metric soon, though no more come", async () => {
    const outbox = outboxOf();
    const producer = new MemoryProducer();
    const work = deliver(outbox, new TopicSink(() => Promise.resolve(producer)), never);
    outbox.push(metric("a"));
    await vi.waitFor(() => expect(producer.sent).toHaveLength(1));
    outbox.end();
    await work;
  });

  it("deliver acknowledges nothing that its sink did not deliver", async () => {
    const outbox = outboxOf("a");
    outbox.end();
    const sink = new LineSink(() => Promise.reject(new Error("nobody reads")));
    await expect(deliver(outbox, sink, never)).rejects.toThrow("nobody reads");
    expect(outbox.figures).toEqual({ made: 1, delivered: 0, waiting: 1, kept: 0, dropped: 0 });
  });
});

it("MemoryOutbox gives what was pushed, in order, however many wait", async () => {
  const outbox = new MemoryOutbox(Infinity);
  const pushed = Array.from({ length: 12_000 }, (_, n) => metric(String(n)));
  for (const metric of pushed) outbox.push(metric);
  outbox.end();
  const read: Metric[] = [];
  for await (const metric of outbox) read.push(metric);
  expect(read).toEqual(pushed);
});

it("MemoryOutbox drops the oldest that is not on its way beyond its limit, and counts", async () => {
  const outbox = new MemoryOutbox(3);
  const values = outbox[Symbol.asyncIterator]();
  for (let n = 0; n < 3; n++) outbox.push(metric(String(n)));
  await values.next();
  for (let n = 3; n < 6; n++) outbox.push(metric(String(n)));
  outbox.end();
  expect(outbox.figures).toEqual({ made: 6, delivered: 0, waiting: 4, kept: 0, dropped: 2 });
  const left: string[] = [];
  for await (const { address } of { [Symbol.asyncIterator]: () => values }) left.push(address);
  expect(left).toEqual(["3", "4", "5"]);
});

describe("TopicSink", () => {
  it("TopicSink.send keys a metric by its address, with the time of its check", async () => {
    const producer = new MemoryProducer();
    await new TopicSink(() => Promise.resolve(producer)).send([metric("a.example")], never);
    const value = JSON.stringify(metric("a.example"));
    expect(producer.sent).toEqual([[{ key: "a.example", value, timestamp: NOON }]]);
  });

  it("TopicSink.send sends again what was not confirmed, and nothing else", async () => {
    const producer = new MemoryProducer(confirm(1), confirm(0));
    await new TopicSink(() => Promise.resolve(producer)).send(["a", "b", "c"].map(metric), never);
    const keys = producer.sent.map((messages) => messages.map(({ key }) => key).join(""));
    expect(keys).toEqual(["abc", "bc", "bc"]);
    expect(producer.sent[2]).toEqual(producer.sent[0]?.slice(1));
  });

  it("TopicSink.send does not try again what waiting cannot mend", async () => {
    const producer = new MemoryProducer(() => Promise.reject(new KafkaSetupError("no right")));
    await expect(new TopicSink(() => Promise.resolve(producer)).send([metric("a")], never)).rejects.toThrow("no right");
    expect(producer.sent).toHaveLength(1);
  });

  it.each<[string, () => Promise<KafkaProducer>]>([
    ["is still opening", silence],
    ["is still sending", () => Promise.resolve(new MemoryProducer(silence))],
    ["sends in vain", () => Promise.resolve(new MemoryProducer(...Array(100).fill(confirm(0))))],
  ])("TopicSink.send rejects when giveUp aborts while the producer %s", async (_what, open) => {
    const giveUp = new AbortController();
    const sending = new TopicSink(open).send([metric("a")], giveUp.signal);
    giveUp.abort(new Error("given up"));
    await expect(sending).rejects.toThrow("given up");
  });

  it("TopicSink throws in send why its producer could not be opened, and not before", async () => {
    const sink = new TopicSink(() => Promise.reject(new KafkaSetupError("no such topic")));
    await new Promise(setImmediate); // An unhandled rejection would make this run fail.
    await expect(sink.send([metric("a")], never)).rejects.toThrow("no such topic");
    await sink[Symbol.asyncDispose]();
  });

  it("TopicSink closes its producer, and calls off one that is still opening", async () => {
    const producer = new MemoryProducer();
    await new TopicSink(() => Promise.resolve(producer))[Symbol.asyncDispose]();
    expect(producer.isClosed).toBe(true);
    const opening = (signal: AbortSignal) =>
      new Promise<KafkaProducer>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    await new TopicSink(opening)[Symbol.asyncDispose]();
  });
});

it("LineSink prints a JSON document a line", async () => {
  let printed = "";
  const sink = new LineSink((text) => Promise.resolve(void (printed += text)));
  await sink.send(["a", "b\nc"].map(metric));
  const lines = printed.split("\n");
  expect(lines.pop()).toBe("");
  expect(lines.map(addressOf)).toEqual(["a", "b\nc"]);
});

describe("LineConsumer", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-delivery-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const read = async (...texts: string[]) => {
    async function* input() {
      for (const text of texts) yield bytes.encode(text);
    }
    await using consumer = new LineConsumer(input(), "run");
    const messages: [offset: number, text: string][] = [];
    for await (const reading of consumer.readings(() => Promise.resolve(placesAt([[0, 1]])))) {
      for await (const { offset, value } of each(reading.messages)) {
        messages.push([offset, new TextDecoder().decode(value!)]);
      }
    }
    return messages;
  };

  it.each<[string, string[], [number, string][]]>([
    ["nothing", [], []],
    ["a line without an end", ["a"], [[1, "a"]]],
    ["lines in pieces", ["a\nb", "c\n"], [[1, "a"], [2, "bc"]]],
    ["blank lines, which count", ["a\n\n \nb\n"], [[1, "a"], [4, "b"]]],
  ])("LineConsumer gives the lines of %s with their numbers", async (_what, texts, expected) => {
    expect(await read(...texts)).toEqual(expected);
  });

  it("LineConsumer says so where its reading was left before the input's end", async () => {
    async function* input() {
      yield bytes.encode("a\nb\n");
    }
    const consumer = new LineConsumer(input(), "run");
    const leave = async () => {
      for await (const { messages } of consumer.readings(() => Promise.resolve(placesAt([[0, 1]])))) {
        for await (const _ of messages) break;
      }
    };
    await expect(leave()).rejects.toThrow(
      "The marks of this run were deleted from the database while it ran: start it again",
    );
  });

  it("LineConsumer brings what LineSink wrote into the table, and what is no metric among the rejected", async () => {
    await using database = await openEmbedded(await newEmbedded(folder));
    const store = await Store.open(database, { schema: null, name: "m" });
    async function* input() {
      yield bytes.encode("\nno metric\n");
      const pieces: Uint8Array[] = [];
      await new LineSink((text) => Promise.resolve(void pieces.push(bytes.encode(text)))).send(["a", "b"].map(metric));
      yield* pieces;
    }
    const events = { waiting() {}, recovered() {}, began() {}, stored() {}, replayed() {}, lost() {}, reopened() {} };
    const limits = { size: 2, interval: 3600 };
    for (const run of ["one", "two"]) {
      await transfer(new LineConsumer(input(), run), store, { limits, stop: never, giveUp: never, events });
    }
    const rows = await database.query<Metric>("select address from m order by address");
    expect(rows.map(({ address }) => address)).toEqual(["a", "a", "b", "b"]);
    expect(await database.query(`select topic_id as run, "offset"::int as line, topic from m_rejected order by 1`))
      .toEqual([{ run: "one", line: 2, topic: "stdin" }, { run: "two", line: 2, topic: "stdin" }]);
  });
});
