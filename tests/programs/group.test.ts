import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Metric } from "../../lib/metric.ts";
import { freePort } from "../../tools/free_ports.ts";
import { type KafkaServer, startKafka } from "../../tools/kafka/kafka.ts";
import { Topic } from "../faults/topic.ts";
import { eventually } from "../support/eventually.ts";
import { canRunKafka } from "../support/kafka.ts";
import { type Running, start } from "../support/programs.ts";
import { type Relay, relay } from "../support/relay.ts";
import { answer, openSite, type Site } from "../support/site.ts";
import { readTopic } from "../support/topic_reader.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";

// Producers that share their hosts, struck one after the other. The topic tells who has checked
// what, and the site how often it was asked.

const PARTITIONS = 12;
const HOSTS = 24;
/** Milliseconds from one due time of a host to the next. */
const INTERVAL = 1000;
/** The path of pages that take so many milliseconds: a check that is begun again by another is in time. */
const SLOW_PAGE = "/slow";
const SLOW = 800;
/** Seconds after which the group takes a silent member for dead. */
const SESSION = 7;
/** Milliseconds that anything may take on a machine that has much else to do. */
const PATIENCE = 120_000;

const variants = possibleVariants();

// At the same time: most of what they do is to wait for Kafka's sessions.
describe.runIf(canRunKafka()).concurrent("producers of one group", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-group-"));
  let broker: KafkaServer;
  let site: Site;
  /** The way to the broker that a test can cut. The others go straight. */
  let way: Relay;
  let mtlsPort: number;
  let topics = 0;

  beforeAll(async () => {
    site = await openSite((socket, { path }) => {
      setTimeout(() => socket.end(answer("200 OK", {}, "fine")), path.includes(SLOW_PAGE) ? SLOW : 0);
    });
    mtlsPort = await freePort();
    const plainPort = await freePort();
    way = await relay(0, "127.0.0.1", mtlsPort);
    const advertised = `PLAIN://localhost:${plainPort},MTLS://localhost:${way.port}`;
    const settings = { "advertised.listeners": advertised };
    broker = await startKafka({ directory: join(folder, "broker"), plainPort, mtlsPort, settings });
  }, 2 * PATIENCE);
  afterAll(async () => {
    await Promise.all([broker, site].map((part) => part?.[Symbol.asyncDispose]()));
    await way?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  /** A new topic with its hosts, and the producers that check them. */
  async function newGroup(
    { partitions = PARTITIONS, at = broker, count = HOSTS, page = "", frequency = `${INTERVAL / 1000}s` } = {},
  ) {
    const topic = `group_${++topics}`;
    const client = await loadClient("javascript");
    const access = { bootstrapServers: [at.plain], topic };
    const own = new Topic(at.plain, topic);
    await own.create(partitions);
    const hosts = join(folder, `${topic}.txt`);
    const address = `http://127.0.0.1:${site.port}/${topic}${page}`;
    const lines = Array.from({ length: count }, (_, n) => `${address}/${n} ${frequency}`);
    writeFileSync(hosts, lines.join("\n"));
    const { caFile, keyFile, certFile } = broker.certificates;
    const withTls = { KAFKA_SSL_CA_FILE: caFile, KAFKA_SSL_KEY_FILE: keyFile, KAFKA_SSL_CERT_FILE: certFile };
    const begin = ({ runtime, client }: Variant, name: string, through?: Relay, file = hosts): Running => {
      const access = through === undefined
        ? { KAFKA_BOOTSTRAP_SERVERS: at.plain }
        : { KAFKA_BOOTSTRAP_SERVERS: `localhost:${through.port}`, ...withTls };
      const env = { ...access, KAFKA_TOPIC: topic, KAFKA_CLIENT: client };
      return start(runtime, "producer", ["--group", "g", "--producer-name", name, file], { env, input: "" });
    };
    const metrics = async (): Promise<readonly Metric[]> => {
      const messages = await readTopic(client, access);
      return messages.map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()) as Metric);
    };
    const asked = () => site.requests.filter(({ path }) => path.startsWith(`/${topic}/`)).length;
    return { begin, metrics, asked, hosts, lines, topic: own };
  }

  /** The last word of a producer on how much it holds. */
  const holding = ({ stderr }: Running) => {
    const said = [...stderr.matchAll(/: (\d+) producers?, this one holds (\d+) of/g)].at(-1);
    return said === undefined ? null : { producers: Number(said[1]), held: Number(said[2]) };
  };
  /** Waits until these producers, and no others, hold all partitions in equal parts. */
  const divided = (all: readonly Running[], partitions = PARTITIONS) =>
    eventually(
      () =>
        all.every((one) => {
          const state = holding(one);
          return state?.producers === all.length && state.held === partitions / all.length;
        }),
      () => `The partitions are not divided among ${all.length}:\n${all.map(({ stderr }) => stderr).join("\n---\n")}`,
      { timeout: PATIENCE },
    );
  /** Waits until each host was checked so many more times. */
  const checked = async (asked: () => number, times: number) => {
    const enough = asked() + times * HOSTS;
    await eventually(() => asked() >= enough, () => `Of ${enough} checks ${asked()} were made`, { timeout: PATIENCE });
  };

  it("each due time has one result, whoever of them is stopped or killed", async () => {
    const { begin, metrics, asked } = await newGroup();
    const [first, second = first, third = second] = variants as [Variant, ...Variant[]];
    await using a = begin(first, "a");
    await using b = begin(second, "b");
    await using c = begin(third, "c");
    await divided([a, b, c]);
    await a.says(/: the hosts fall into 12 partitions:( \d+){12}$/m);
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
  }, 5 * PATIENCE);

  it("one that is cut off goes on, one that was frozen does not, and neither tells what is not so", async () => {
    const { begin, metrics, asked } = await newGroup();
    const [first, second = first, third = second] = variants as [Variant, ...Variant[]];
    await using a = begin(second, "a", way);
    await using b = begin(third, "b");
    await using c = begin(first, "c");
    await divided([a, b, c]);
    await checked(asked, 2);
    const cutAt = Date.now();
    await way[Symbol.asyncDispose]();
    await divided([b, c]);
    const takenOverAt = Date.now();
    await checked(asked, 2);
    way = await relay(way.port, "127.0.0.1", mtlsPort);
    await a.says("it counts this producer out");
    await divided([a, b, c]);
    const backAt = Date.now();
    await checked(asked, 2);
    const frozenAt = Date.now();
    b.kill("SIGSTOP");
    await divided([a, c]);
    await checked(asked, 1);
    b.kill("SIGCONT");
    await b.says("it counts this producer out");
    await divided([a, b, c]);
    await checked(asked, 2);
    for (const one of [a, b, c]) one.kill("SIGTERM");
    for (const one of [a, b, c]) expect(await one.ended, one.stderr).toMatchObject({ code: 0 });
    const all = await metrics();
    expect(holes(all)).toEqual([]);
    const byDue = Map.groupBy(all.filter(({ error }) => error !== "missed"), due);
    // The one that was cut off could not know that others had taken over.
    const isExcused = (key: string) => {
      const at = Date.parse(key.split(" ")[1] ?? "");
      const who = byDue.get(key)?.map(({ producer }) => producer) ?? [];
      return who.includes("a") && cutAt - INTERVAL < at && at < backAt ||
        who.includes("b") && Math.abs(frozenAt - at) < INTERVAL;
    };
    expect(doubles(all).filter((key) => !isExcused(key))).toEqual([]);
    const ofCut = all.filter(({ producer, scheduled_at }) =>
      producer === "a" && Date.parse(scheduled_at ?? "") > takenOverAt
    );
    expect(ofCut.filter(({ scheduled_at }) => Date.parse(scheduled_at ?? "") < takenOverAt + INTERVAL)).not.toEqual([]);
    // What it slept through is for those to tell who had its hosts by then.
    const slept = all.filter(({ producer, error_detail }) =>
      producer === "b" && /did not run/.test(error_detail ?? "")
    );
    expect(slept.filter(({ checked_at }) => Date.parse(checked_at ?? "") > frozenAt)).toEqual([]);
  }, 5 * PATIENCE);

  it("all of them go on while a broker that stood still has thrown them all out", async () => {
    // As brokers do by default, it waits for more members of a group that has none.
    const settings = { "group.initial.rebalance.delay.ms": "3000" };
    await using own = await startKafka({ directory: join(folder, "frozen"), settings });
    const { begin, metrics, asked } = await newGroup({ at: own });
    const all = variants.map((variant, n) => begin(variant, String(n)));
    await using stack = new AsyncDisposableStack();
    for (const one of all) stack.use(one);
    const parts = Math.floor(PARTITIONS / all.length) * all.length;
    await divided(all, parts);
    await checked(asked, 2);
    process.kill(own.pid, "SIGSTOP");
    const stoppedAt = Date.now();
    await checked(asked, SESSION + 3).finally(() => process.kill(own.pid, "SIGCONT"));
    const wokeAt = Date.now();
    // Most of them; some may be heard before the broker looks at the time.
    for (const one of all) await one.says(/it counts this producer out|answers for the group .* again/);
    await divided(all, parts);
    await checked(asked, 2);
    for (const one of all) one.kill("SIGTERM");
    for (const one of all) expect(await one.ended, one.stderr).toMatchObject({ code: 0 });
    const told = await metrics();
    // Until each has heard of the others, for a session at most, two may ask for the same due time.
    const isPromised = ({ scheduled_at }: Metric) => {
      const at = Date.parse(scheduled_at ?? "");
      return at < stoppedAt || at > wokeAt + SESSION * 1000;
    };
    expect(doubles(told.filter(isPromised))).toEqual([]);
    expect(holes(told)).toEqual([]);
    const missed = told.filter(({ error, scheduled_at, error_detail }) =>
      error === "missed" && Date.parse(scheduled_at ?? "") > stoppedAt && !/still ran/.test(error_detail ?? "")
    );
    // The group divides twice, as it gets its members back, and a host that moves may lose a due time
    // each time. Members that stopped at the wake would lose more than the broker's 3 s.
    const often = [...Map.groupBy(missed, ({ address }) => address)].filter(([, times]) => times.length > 2);
    const said = all.map(({ stderr }) => stderr).join("\n");
    expect(often.map(([address, times]) => [address, times.map(due)]), said).toEqual([]);
  }, 5 * PATIENCE);

  it("partitions are added, and all producers die: what nobody checked is told", async () => {
    const { begin, metrics, asked, topic } = await newGroup({ partitions: 2 });
    const [first, second = first, third = second] = variants as [Variant, ...Variant[]];
    await using a = begin(first, "a");
    await using b = begin(second, "b");
    await divided([a, b], 2);
    await a.says("the topic has 2 partitions for 2 producers: their parts differ much; 8 or more would make them");
    await checked(asked, 2);
    await topic.addPartitions(PARTITIONS);
    await divided([a, b]);
    await checked(asked, 2);
    for (const one of [a, b]) one.kill("SIGKILL");
    await Promise.all([a.ended, b.ended]);
    await using c = begin(third, "c");
    await divided([c]);
    await checked(asked, 2);
    c.kill("SIGTERM");
    expect(await c.ended, c.stderr).toMatchObject({ code: 0 });
    const all = await metrics();
    expect(doubles(all)).toEqual([]);
    expect(holes(all)).toEqual([]);
    const told = all.filter(({ producer, error_detail }) =>
      producer === "c" && error_detail === "no producer had this host"
    );
    // The dead ones were members for some seconds more.
    expect(new Set(told.map(({ address }) => address)).size).toBe(HOSTS);
  }, 5 * PATIENCE);

  it("one that comes after partitions were added knows what was checked, wherever clients sent it", async () => {
    // Each host is due while it goes to another producer, as that waits for the check under way.
    const { begin, metrics, asked, topic } = await newGroup({ partitions: 10, page: SLOW_PAGE });
    // librdkafka notices new partitions last.
    const [first, second = first, third = second] = variants as [Variant, ...Variant[]];
    await using a = begin(first, "a");
    await using b = begin(second, "b");
    await divided([a, b], 10);
    await checked(asked, 2);
    await topic.addPartitions(PARTITIONS);
    await divided([a, b]);
    await checked(asked, 2);
    await using c = begin(third, "c");
    await divided([a, b, c]);
    await checked(asked, 2);
    for (const one of [a, b, c]) one.kill("SIGTERM");
    for (const one of [a, b, c]) expect(await one.ended, one.stderr).toMatchObject({ code: 0 });
    const all = await metrics();
    expect(doubles(all)).toEqual([]);
    expect(holes(all)).toEqual([]);
  }, 5 * PATIENCE);

  it("partitions are added while checks are under way: none is begun again", async () => {
    const load = { partitions: variants.length, count: 300, page: SLOW_PAGE, frequency: "10s" };
    const { begin, metrics, asked, topic } = await newGroup(load);
    const all = variants.map((variant, n) => begin(variant, String(n)));
    await using stack = new AsyncDisposableStack();
    for (const one of all) stack.use(one);
    await divided(all, variants.length);
    const enough = async (more: number) => {
      const wanted = asked() + more;
      await eventually(() => asked() >= wanted, () => `The site was asked ${asked()} times, not ${wanted}`, {
        timeout: PATIENCE,
      });
    };
    await enough(load.count);
    await topic.addPartitions(PARTITIONS);
    await divided(all);
    await enough(load.count / 3);
    for (const one of all) one.kill("SIGTERM");
    for (const one of all) expect(await one.ended, one.stderr).toMatchObject({ code: 0 });
    const real = (await metrics()).filter(({ error }) => error !== "missed");
    expect(doubles(real)).toEqual([]);
    expect(asked()).toBe(real.length);
  }, 5 * PATIENCE);

  it("with different hosts files nothing is checked twice, and what has left is told once they agree", async () => {
    const { begin, metrics, asked, hosts, lines } = await newGroup();
    const [first, second = first] = variants as [Variant, ...Variant[]];
    const [gone = "", ...others] = lines;
    const [goneAddress = ""] = gone.split(" ");
    const come = gone.replace(/0 /, "new ");
    const other = `${hosts}.other`;
    writeFileSync(other, [...others, come].join("\n"));
    await using a = begin(first, "a");
    await using b = begin(second, "b", undefined, other);
    await divided([a, b]);
    for (const one of [a, b]) await one.says("group g: the producers have different hosts files: a has ");
    await checked(asked, 1);
    writeFileSync(hosts, [...others, come].join("\n"));
    for (const one of [a, b]) await one.says("group g: all producers have the same hosts file again");
    await eventually(
      () => site.requests.some(({ path }) => path.endsWith("/new")),
      () => "The new host is not checked",
    );
    await checked(asked, 1);
    for (const one of [a, b]) one.kill("SIGTERM");
    for (const one of [a, b]) expect(await one.ended, one.stderr).toMatchObject({ code: 0 });
    const all = await metrics();
    expect(doubles(all)).toEqual([]);
    // Once, whether its partition was held by the one that had it in its file or by the other.
    const removed = all.filter(({ error }) => error === "removed").map(({ address }) => address);
    expect(removed).toEqual([goneAddress]);
  }, 5 * PATIENCE);
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
