import { expect, it } from "vitest";
import { ConsumerLoop, type ConsumerParts } from "../../lib/kafka/consumer_loop.ts";
import {
  type GroupMember,
  Membership,
  OutdatedAssignment,
  UnknownPartitionError,
} from "../../lib/kafka/consumer_member.ts";
import type { LogConsumer } from "../../lib/kafka/javascript/log_consumer.ts";
import { type ConsumerOptions, type FindPositions, KafkaSetupError, type LogPosition } from "../../lib/kafka/kafka.ts";
import { bounds, kafkaStartOffsets } from "../../lib/kafka/offsets.ts";
import { GroupNotReadyError } from "../../lib/kafka/setup_errors.ts";
import { StatusReporter } from "../../lib/kafka/status_reporter.ts";
import { placesAt } from "../support/log_positions.ts";

// These tests need broker events at exact moments, which real brokers cannot give.

/** A consumer of two partitions. Those in `leaderless` have no leader. */
function consumer(
  { member = {}, log = {}, start = "earliest" }: {
    member?: Partial<GroupMember>;
    log?: Partial<ConsumerParts["log"]>;
    start?: ConsumerOptions["start"];
  } = {},
) {
  const told = {
    id: "id",
    partitions: 2,
    joined: 0,
    left: [] as boolean[],
    leaderless: [] as number[],
    heard: [] as string[],
    committed: [] as [partition: number, LogPosition][],
  };
  const join = (): Promise<GroupMember> => {
    const membership = new Membership();
    told.joined++;
    membership.gain([1, 0]);
    return Promise.resolve({
      membership,
      fetching: {} as LogConsumer,
      held: (signal) => membership.held(signal),
      identifyTopic: () =>
        Promise.resolve({ id: told.id, partitions: told.partitions, leaderless: [...told.leaderless] }),
      findOffsets: (partitions, time) => Promise.resolve(new Map(partitions.map((one) => [one, time === -2 ? 0 : 9]))),
      commit: (offsets) => Promise.resolve(void told.committed.push(...offsets)),
      leave: (isLast) => Promise.resolve(void told.left.push(isLast)),
      ...member,
    });
  };
  const status = new StatusReporter((what) => told.heard.push(what));
  const options = { bootstrapServers: [], topic: "t", group: "g", start };
  const loop = new ConsumerLoop(options, status, {
    join,
    log: {
      // deno-lint-ignore require-yield
      async *messages(_, __, ___, stop) {
        const stopped = new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
        if (!stop.aborted) await stopped;
      },
      isHole: () => Promise.resolve(true),
      withCut: (assignment) => assignment,
      [Symbol.asyncDispose]: () => Promise.resolve(),
      ...log,
    },
  });
  return { told, loop };
}

const fromStart: FindPositions = ({ partitions }) =>
  Promise.resolve(placesAt(partitions.map(({ partition, logStart }) => [partition, logStart])));

it("leaves out a partition without a leader, and begins anew when it has one", async () => {
  const { told, loop } = consumer();
  told.leaderless = [1];
  const stop = new AbortController();
  const seen: number[][] = [];
  for await (const { positions, messages } of loop.readings(fromStart, stop.signal)) {
    seen.push([...positions.keys()]);
    told.leaderless = [];
    if (seen.length === 2) stop.abort();
    for await (const _ of messages);
  }
  expect(seen).toEqual([[0], [0, 1]]);
  expect(told.heard).toEqual(["Nobody leads partition 1 of the topic: the others are read"]);
});

it("asks again where Kafka fails while a position is looked up, and throws what the position does", async () => {
  let tries = 0;
  const findOffsets: GroupMember["findOffsets"] = (partitions, time) => {
    if (time === 5 && tries++ === 0) return Promise.reject(new Error("away"));
    return Promise.resolve(new Map(partitions.map((one) => [one, time === 5 ? 7 : time === -2 ? 0 : 9])));
  };
  const { told, loop } = consumer({ member: { findOffsets }, start: { time: 5 } });
  const stop = new AbortController();
  const first: FindPositions = async ({ firstStarts }) => placesAt(await firstStarts?.() ?? []);
  for await (const { positions } of loop.readings(first, stop.signal)) {
    expect(positions).toEqual(placesAt([[0, 7], [1, 7]]));
    stop.abort();
  }
  expect([tries, told.heard]).toEqual([2, ["Kafka gives no messages (away): trying again"]]);
  const refused = loop.readings(() => Promise.reject(new Error("no table")), new AbortController().signal);
  await expect(refused.next()).rejects.toThrow("no table");
});

it("says nothing of a group that is not ready for a moment, but tells of one that stays so", async () => {
  let left = 0;
  const held: GroupMember["held"] = (signal) => {
    const membership = new Membership();
    membership.gain([0, 1]);
    return left-- > 0 ? Promise.reject(new GroupNotReadyError("the coordinator is loading")) : membership.held(signal);
  };
  const heardAfter = async (failures: number) => {
    left = failures;
    const { told, loop } = consumer({ member: { held } });
    const stop = new AbortController();
    for await (const _ of loop.readings(fromStart, stop.signal)) stop.abort();
    return told.heard;
  };
  expect(await heardAfter(2)).toEqual([]);
  expect(await heardAfter(6)).toEqual(["Kafka gives no messages (the coordinator is loading): trying again"]);
});

it("tells of a cut that the last reading heard of", async () => {
  const cut = { from: { offset: 8, epoch: 2 }, to: { offset: 3, epoch: 2 } };
  const { loop } = consumer({
    log: {
      withCut: (assignment) => {
        return { ...assignment, partitions: assignment.partitions.map((one) => ({ ...one, cut })) };
      },
    },
  });
  const stop = new AbortController();
  const find: FindPositions = ({ partitions }) =>
    Promise.resolve(new Map(partitions.map(({ partition, cut }) => [partition, cut?.to ?? { offset: 8, epoch: 2 }])));
  for await (const { positions } of loop.readings(find, stop.signal)) {
    expect(positions).toEqual(new Map([[0, cut.to], [1, cut.to]]));
    stop.abort();
  }
});

it("joins anew where the client does not know a partition, and where the topic is no longer the same", async () => {
  let tries = 0;
  const findOffsets: GroupMember["findOffsets"] = (partitions) =>
    tries++ === 0
      ? Promise.reject(new UnknownPartitionError("Local: Unknown partition"))
      : Promise.resolve(new Map(partitions.map((one) => [one, 0])));
  const { told, loop } = consumer({
    member: { findOffsets },
    log: {
      // deno-lint-ignore require-yield
      async *messages() {
        if (told.joined === 2) throw new OutdatedAssignment("The topic t has 3 partitions now");
      },
    },
  });
  const joined: number[] = [];
  for await (const { messages } of loop.readings(fromStart, new AbortController().signal)) {
    joined.push(told.joined);
    if (joined.length === 2) break;
    for await (const _ of messages);
  }
  expect([joined, told.left]).toEqual([[2, 3], [false, false]]);
  expect(told.heard).toEqual(["Kafka gives no messages (Local: Unknown partition): trying again"]);
});

it("takes no bounds for those of a topic that was made again while they were asked for", async () => {
  const ids = ["old", "new"];
  const identifyTopic = () => Promise.resolve({ id: ids.shift() ?? "new", partitions: 2, leaderless: [] });
  const { told, loop } = consumer({ member: { identifyTopic } });
  for await (const { assignment } of loop.readings(fromStart, new AbortController().signal)) {
    expect(assignment.topicId).toBe("new");
    break;
  }
  // The group assigned the partitions of the earlier topic.
  expect([told.joined, told.left]).toEqual([2, [false]]);
});

it("ends at what no waiting mends, and leaves the group when it is closed", async () => {
  const refused = new KafkaSetupError("The topic t does not exist");
  const { told, loop } = consumer({ member: { identifyTopic: () => Promise.reject(refused) } });
  await expect(loop.readings(fromStart, new AbortController().signal).next()).rejects.toBe(refused);
  await loop[Symbol.asyncDispose]();
  expect([told.joined, told.left, told.heard]).toEqual([1, [true], []]);
});

it("commits places with their epochs, and nothing where there is none", async () => {
  const { told, loop } = consumer();
  for await (const _ of loop.readings(fromStart, new AbortController().signal)) break;
  await loop.commit(new Map());
  const places: [number, LogPosition][] = [[0, { offset: 4, epoch: 5 }], [1, { offset: 6, epoch: null }]];
  await loop.commit(new Map(places));
  expect(told.committed).toEqual(places);
});

it("bounds and kafkaStartOffsets refuse what cannot be of one and the same log", async () => {
  const find = (at: Readonly<Record<number, number>>) => (partitions: readonly number[], time: number) =>
    Promise.resolve(new Map(partitions.map((partition) => [partition, at[time] ?? -1])));
  await expect(bounds([0], find({ [-2]: 3000, [-1]: 90 }))).rejects.toThrow("where the log of partition 0 begins");
  await expect(kafkaStartOffsets({ time: 5 }, [0], find({ 5: 3000, [-1]: 90 }))).rejects.toThrow("partition 0");
  await expect(kafkaStartOffsets("latest", [0], () => Promise.resolve(new Map()))).rejects.toThrow("partition 0");
  expect(await kafkaStartOffsets({ time: 5 }, [0], find({ [-1]: 90 }))).toEqual(new Map([[0, 90]]));
});
