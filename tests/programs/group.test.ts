import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Admin } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Metric } from "../../lib/metric.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { eventually } from "../support/eventually.ts";
import { canRunKafka, temporaryKafka } from "../support/kafka.ts";
import { type Running, start } from "../support/programs.ts";
import { answer, openSite, type Site } from "../support/site.ts";
import { readTopic } from "../support/topic_reader.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";

// Producers that share their hosts, struck one after the other. The topic tells who has checked
// what, and the site how often it was asked.

const PARTITIONS = 12;
const HOSTS = 24;
/** Milliseconds from one due time of a host to the next. */
const INTERVAL = 2000;

const variants = possibleVariants();

describe.runIf(canRunKafka())("producers of one group", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-group-"));
  let broker: KafkaServer;
  let site: Site;
  let topics = 0;

  beforeAll(async () => {
    [broker, site] = await Promise.all([
      temporaryKafka(),
      openSite((socket) => socket.end(answer("200 OK", {}, "fine"))),
    ]);
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([broker, site].map((part) => part?.[Symbol.asyncDispose]()));
  }, 60_000);

  /** A new topic with its hosts, and the producers that check them. */
  async function newGroup() {
    const topic = `group_${++topics}`;
    const admin = new Admin({ clientId: "tests", bootstrapBrokers: [broker.plain], retries: 5 });
    await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: 1 });
    await admin.close();
    const hosts = join(folder, `${topic}.txt`);
    const lines = Array.from(
      { length: HOSTS },
      (_, n) => `http://127.0.0.1:${site.port}/${topic}/${n} ${INTERVAL / 1000}s`,
    );
    writeFileSync(hosts, lines.join("\n"));
    const begin = ({ runtime, client }: Variant, name: string): Running => {
      const env = { KAFKA_BOOTSTRAP_SERVERS: broker.plain, KAFKA_TOPIC: topic, KAFKA_CLIENT: client };
      return start(runtime, "producer", ["--group", "g", "--producer-name", name, hosts], { env, input: "" });
    };
    const metrics = async (): Promise<readonly Metric[]> => {
      const messages = await readTopic(await loadClient("javascript"), { bootstrapServers: [broker.plain], topic });
      return messages.map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Metric);
    };
    const asked = () => site.requests.filter(({ path }) => path.startsWith(`/${topic}/`)).length;
    return { begin, metrics, asked };
  }

  /** The last word of a producer on how much it holds. */
  const holding = ({ stderr }: Running) => {
    const said = [...stderr.matchAll(/: (\d+) producers?, this one holds (\d+) of/g)].at(-1);
    return said === undefined ? null : { producers: Number(said[1]), held: Number(said[2]) };
  };
  /** Waits until these producers, and no others, hold all partitions in equal parts. */
  const divided = (all: readonly Running[]) =>
    eventually(
      () =>
        all.every((one) => {
          const state = holding(one);
          return state?.producers === all.length && state.held === PARTITIONS / all.length;
        }),
      () => `The partitions are not divided among ${all.length}:\n${all.map(({ stderr }) => stderr).join("\n---\n")}`,
      { timeout: 60_000 },
    );
  /** Waits until each host was checked so many more times. */
  const checked = async (asked: () => number, times: number) => {
    const enough = asked() + times * HOSTS;
    await eventually(() => asked() >= enough, () => `Of ${enough} checks ${asked()} were made`, { timeout: 60_000 });
  };

  it("each due time has one result, whoever of them is stopped or killed", async () => {
    const { begin, metrics, asked } = await newGroup();
    const [first, second = first, third = second] = variants as [Variant, ...Variant[]];
    await using a = begin(first, "a");
    await using b = begin(second, "b");
    await using c = begin(third, "c");
    await divided([a, b, c]);
    await checked(asked, 2);
    c.kill("SIGTERM");
    expect(await c.ended, c.stderr).toMatchObject({ code: 0 });
    await divided([a, b]);
    await checked(asked, 2);
    await using d = begin(third, "d");
    await divided([a, b, d]);
    await checked(asked, 2);
    b.kill("SIGKILL");
    await divided([a, d]);
    await checked(asked, 2);
    a.kill("SIGTERM");
    d.kill("SIGTERM");
    expect(await a.ended, a.stderr).toMatchObject({ code: 0 });
    expect(await d.ended, d.stderr).toMatchObject({ code: 0 });
    const all = await metrics();
    expect(doubles(all)).toEqual([]);
    expect(holes(all)).toEqual([]);
  }, 180_000);
});

const due = ({ address, scheduled_at }: Metric) => `${address} ${scheduled_at}`;

/** Due times with more than one real check. */
function doubles(all: readonly Metric[]): readonly string[] {
  const real = Map.groupBy(all.filter(({ error }) => error !== "missed"), due);
  return [...real].filter(([, { length }]) => length > 1).map(([key]) => key);
}

/** Due times without any record, between the first and the last one of their host. */
function holes(all: readonly Metric[]): readonly string[] {
  return [...Map.groupBy(all, ({ address }) => address)].flatMap(([address, metrics]) => {
    const times = new Set(metrics.map(({ scheduled_at }) => Date.parse(scheduled_at ?? "")));
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const grid = Array.from({ length: (last - first) / INTERVAL + 1 }, (_, n) => first + n * INTERVAL);
    return grid.filter((at) => !times.has(at)).map((at) => `${address} ${new Date(at).toISOString()}`);
  });
}
