import { readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { eventually } from "../support/eventually.ts";
import { GROUP } from "./crew.ts";
import type { Fault } from "./fault.ts";
import { LARGE } from "./topic.ts";
import { TABLE, type World } from "./world.ts";

const MOST_PARTITIONS = 12;

export const FAULTS_OF_THE_BROKER: readonly Fault[] = [
  {
    name: "broker killed",
    part: "broker",
    lasts: { short: [500, 2000], long: [0, 20_000] },
    async strike({ broker }) {
      await broker.kill();
      return { heal: () => broker.restart() };
    },
  },
  {
    name: "broker frozen",
    part: "broker",
    lasts: { short: [5_000, 10_000], long: [20_000, 60_000] },
    strike({ broker }) {
      process.kill(broker.pid, "SIGSTOP");
      return Promise.resolve({ heal: () => void process.kill(broker.pid, "SIGCONT") });
    },
  },
  {
    // The broker neither answers their last commits nor hears that they leave.
    name: "consumers end while the broker is frozen",
    part: "broker",
    async strike({ broker, crew, pass }) {
      process.kill(broker.pid, "SIGSTOP");
      await pass(0, 1000);
      await crew.dismissAll();
      return {
        async heal() {
          process.kill(broker.pid, "SIGCONT");
          await crew.resize(2);
        },
      };
    },
  },
  {
    name: "partitions added",
    part: "broker",
    restsPlan: true,
    async strike({ topic, marks }) {
      const { partitions } = await topic.describe();
      if (partitions >= MOST_PARTITIONS) return { times: 0 };
      await topic.addPartitions(partitions + 1);
      const isRead = async () => (await marks()).size > partitions;
      await eventually(isRead, () => "Nobody reads the new partition", { timeout: 90_000, interval: 200 });
    },
  },
  {
    // The consumers know neither the partitions nor their messages until they start again.
    name: "partitions added while consumers are stopped",
    part: "broker",
    restsPlan: true,
    async strike({ topic, crew, source, marks, pass }) {
      const { partitions } = await topic.describe();
      if (partitions >= MOST_PARTITIONS) return { times: 0 };
      const members = crew.members.length;
      await crew.dismissAll();
      await topic.addPartitions(partitions + 1);
      // The generator learns of the partitions at its next start.
      await source.pause();
      source.resume();
      const isFilled = async () => await topic.bound(partitions, -1) > 0;
      await eventually(isFilled, () => "Nothing is written to the new partition", { timeout: 90_000, interval: 200 });
      await pass(0, 2000);
      await crew.resize(members);
      const isRead = async () => (await marks()).size > partitions;
      await eventually(isRead, () => "Nobody reads the new partition", { timeout: 90_000, interval: 200 });
    },
  },
  {
    // The broker counts compressed bytes. A message may be a thousand times larger when it is read.
    name: "large compressed messages",
    part: "broker",
    async strike({ topic, random, sql, isShort }) {
      const label = `${LARGE} ${crypto.randomUUID()}`;
      const times = isShort ? 1 : random.between(1, 3);
      const codec = random.pick(["gzip", "lz4", "snappy", "zstd"] as const);
      // The tests' broker has 512 MB of heap, and cannot look at larger batches. A batch of the
      // topic has a megabyte at most, and snappy packs 20 bytes into one at best.
      const most = codec === "snappy" ? 18 : 40;
      const megabytes = isShort ? Math.min(30, most) : random.between(5, most);
      for (let n = 0; n < times; n++) await topic.sendLarge(`${label} ${n}`, megabytes, codec);
      const look = () => sql(`select from ${TABLE}_rejected where value like '${label}%'::bytea`);
      const what = `${times} of ${megabytes} MB, ${codec}`;
      await eventually(async () => (await look()).length >= times, () => `Not among the rejected: ${what}`, {
        timeout: 90_000,
        interval: 300,
      });
      const { length } = await look();
      if (length !== times) throw new Error(`${length} lines of the rejected hold ${what}`);
      return { times };
    },
  },
  {
    // A batch is split, a long metric is shortened, and all others go on.
    name: "small messages only",
    part: "broker",
    async strike(world) {
      const { topic, source, pass, isShort } = world;
      await topic.configure({ "max.message.bytes": "1500" });
      const from = source.made;
      await pass(2000, isShort ? 3000 : 10_000);
      const enough = from + 200;
      await eventually(() => source.made >= enough, () => "Nothing is delivered to the small topic", {
        timeout: 90_000,
      });
      await world.recovered(from);
      return { heal: () => topic.configure({ "max.message.bytes": "1048588" }) };
    },
  },
  {
    name: "topic deleted and made again",
    part: "broker",
    isCalm: true,
    mayGiveUp: true,
    async strike({ topic, random, pass }) {
      await topic.delete();
      await pass(0, 3000);
      await topic.create(random.between(2, 4));
    },
  },
  {
    // The positions that the consumers remember are valid offsets in the new topic. But other
    // messages stand there.
    name: "topic made again behind sleeping consumers",
    part: "broker",
    isCalm: true,
    mayGiveUp: true,
    async strike({ topic, crew, source, marks, pass }) {
      const longest = Math.max(...(await marks()).values());
      const { partitions } = await topic.describe();
      const sleeping = crew.members;
      for (const { running } of sleeping) running.kill("SIGSTOP");
      await topic.delete();
      await topic.create(partitions);
      source.resume();
      await pass(1000, 2000);
      await topic.fill(longest + 100);
      return { heal: () => sleeping.forEach(({ running }) => running.kill("SIGCONT")) };
    },
  },
  {
    name: "group's offsets reset",
    part: "broker",
    async strike({ crew, topic }) {
      await crew.dismissAll();
      await topic.resetGroup(GROUP);
      await crew.resize(2);
    },
  },
  {
    name: "members evicted from the group",
    part: "broker",
    strike: ({ topic }) => topic.evict(GROUP),
  },
  {
    name: "retention deletes the unread",
    part: "broker",
    restsPlan: true,
    async strike(world) {
      const { crew, topic, ledger } = world;
      await crew.dismissAll();
      await world.pass(1000, 2000);
      const expected: string[] = [];
      for (const [partition, mark] of await world.marks()) {
        const unread = await topic.read(partition, mark);
        const kept = Math.floor(unread.length / 2);
        const until = unread[kept]?.offset;
        if (until === undefined || until <= mark) continue;
        for (const { number } of unread.slice(0, kept)) if (number !== null) ledger.excused.add(number);
        await topic.deleteBelow(partition, until);
        expected.push(`offsets ${mark} to ${until - 1} of partition ${partition} were deleted from the topic`);
      }
      await crew.resize(2);
      for (const words of expected) await recorded(world, words);
      return { times: expected.length };
    },
  },
  {
    // Does to the files of one broker the damage that an unclean election does to a cluster.
    name: "log ends before the mark",
    part: "broker",
    isCalm: true,
    async strike(world) {
      const { broker, random } = world;
      const marks = await world.marks();
      const [partition, mark] = random.pick([...marks].filter(([, offset]) => offset > 0));
      await broker.kill();
      const folder = join(broker.data, `${world.topic.name}-${partition}`);
      const segments = readdirSync(folder).filter((name) => name.endsWith(".log")).toSorted();
      const last = join(folder, segments.at(-1) as string);
      truncateSync(last, Math.floor(statSync(last).size / 2));
      for (const name of readdirSync(folder)) if (/index$|snapshot$|checkpoint$/.test(name)) rmSync(join(folder, name));
      await broker.restart();
      await recorded(world, `before the mark ${mark}:`);
    },
  },
  {
    name: "log compacted",
    part: "broker",
    isCalm: true,
    async strike({ topic, crew, source, pass }) {
      await crew.dismissAll();
      const { partitions } = await topic.describe();
      await topic.configure({ "cleanup.policy": "compact", "segment.ms": "300", "min.cleanable.dirty.ratio": "0.001" });
      source.resume();
      for (let n = 0; n < 4; n++) {
        await topic.fill(50);
        await pass(400, 600);
      }
      const hasHole = async () => {
        for (let partition = 0; partition < partitions; partition++) {
          const offsets = (await topic.read(partition, 0)).map(({ offset }) => offset);
          if (offsets.some((offset, i) => i > 0 && offset !== (offsets[i - 1] as number) + 1)) return true;
        }
        return false;
      };
      await eventually(hasHole, () => "The broker does not compact the topic", { timeout: 60_000, interval: 500 });
      await topic.configure({ "cleanup.policy": "delete", "segment.ms": "604800000" });
      await crew.resize(2);
    },
  },
  {
    name: "foreign transactions aborted",
    part: "broker",
    async strike({ topic, random, pass }) {
      const times = random.between(2, 4);
      for (let n = 0; n < times; n++) {
        await topic.abortTransaction(random.between(1, 500));
        await pass(0, 500);
      }
      return { times };
    },
  },
];

/** Waits until the rejected tell of a loss. Makes sure that they tell of it once. */
async function recorded({ sql }: World, words: string): Promise<void> {
  const look = () => sql(`select from ${TABLE}_rejected where value is null and position('${words}' in reason) > 0`);
  const isTold = async () => (await look()).length > 0;
  await eventually(isTold, () => `No line of the rejected says "${words}"`, { timeout: 90_000, interval: 200 });
  const { length } = await look();
  if (length !== 1) throw new Error(`${length} lines of the rejected say "${words}"`);
}
