import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { Topic } from "../faults/topic.ts";
import { eventually } from "../support/eventually.ts";
import type { FollowerOptions } from "../support/follower.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";

// The joining of a group and the start of a broker take seconds on a busy machine.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 });

const library = loadLibrdkafka();
const usable = (["javascript", "librdkafka"] as const).filter((name) =>
  name === "javascript" || !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`)
);
const SCRIPT = fileURLToPath(new URL("../support/follower.ts", import.meta.url));
const untilStopped = AbortSignal.timeout(600_000);

/** A program that reads a topic. It tells under which ids of the topic it got each value. */
class Follower implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly given = new Map<string, Set<string>>();
  #words = "";

  constructor(options: FollowerOptions) {
    const args = ["--experimental-strip-types", SCRIPT, JSON.stringify(options)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    child.stderr.on("data", (words) => this.#words += words);
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [id = "", ...words] = line.split(" ");
      const value = words.join(" ");
      this.given.set(value, (this.given.get(value) ?? new Set()).add(id));
    });
  }

  kill(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** Resolves when so many values have come that begin with `prefix`. */
  async hasAll(prefix: string, many: number): Promise<void> {
    const count = () => [...this.given.keys()].filter((value) => value.startsWith(prefix)).length;
    await eventually(() => count() === many, () => `${count()} of ${many} came: ${this.#words}`, { timeout: 60_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }
}

const canRun = canRunKafka();
let broker: KafkaServer;
beforeAll(async () => {
  if (canRun) broker = await temporaryKafka();
}, 120_000);
afterAll(() => broker?.[Symbol.asyncDispose](), 30_000);

describe.runIf(canRun).each(usable)("A topic that is deleted and made again, read with %s,", (name) => {
  async function produce(topic: string, prefix: string, many: number): Promise<void> {
    const client = await loadClient("javascript");
    const options = { bootstrapServers: [broker.plain], topic, partitions: null };
    await using producer = await client.openProducer(options, () => {}, untilStopped);
    await producer.send(Array.from({ length: many }, (_, n) => {
      return { key: `k${n}`, value: `${prefix} ${n}`, timestamp: 1_700_000_000_000 };
    }));
  }

  it.each([
    { when: "before its reader's eyes", isAsleep: false },
    // A client that wakes up goes on at its old offsets. In a log that is longer by now, other
    // messages stand there.
    { when: "while its reader sleeps", isAsleep: true },
  ])("gives each message under its own id, where that happens $when", async ({ isAsleep }) => {
    const topic = new Topic(broker.plain, `again-${name}-${isAsleep}`);
    await topic.create(3);
    await produce(topic.name, "old", 90);
    await using follower = new Follower({ bootstrap: broker.plain, topic: topic.name, client: name });
    await follower.hasAll("old", 90);
    const ids = [(await topic.describe()).id];
    // The topic gets fewer partitions, then more. Nobody has been assigned the additional ones.
    for (const [round, partitions] of [2, 4].entries()) {
      const many = 600 * (round + 1);
      if (isAsleep) follower.kill("SIGSTOP");
      await topic.delete();
      await topic.create(partitions);
      ids.push((await topic.describe()).id);
      await produce(topic.name, `new ${round}`, many);
      if (isAsleep) follower.kill("SIGCONT");
      await follower.hasAll(`new ${round}`, many);
    }
    const wrong = [...follower.given].filter(([value, under]) => {
      const round = value.startsWith("old") ? 0 : Number(value.split(" ")[1]) + 1;
      return under.size !== 1 || !under.has(ids[round] as string);
    });
    expect(wrong).toEqual([]);
  });
});
