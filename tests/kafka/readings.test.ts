import { expect, it } from "vitest";
import type { Position, Positions } from "../../lib/kafka/kafka.ts";
import { bounds, type Described, type Group, readings, startOffsets } from "../../lib/kafka/readings.ts";
import { StatusReporter } from "../../lib/kafka/status_reporter.ts";

// What brokers do at moments that real ones cannot be made to hit.

/** A group with one member, of whose two partitions those in `leaderless` are not led. */
function group(change: Partial<Group<Described>> = {}, assignment: Partial<Described["assignment"]> = {}) {
  const told = { described: 0, leaderless: [] as number[], heard: [] as string[] };
  const one: Group<Described> = {
    describe() {
      told.described++;
      const partitions = [0, 1].filter((partition) => !told.leaderless.includes(partition))
        .map((partition) => ({ partition, logStart: 0, logEnd: 9 }));
      const changed = new AbortController().signal;
      return Promise.resolve({
        assignment: { topic: "t", topicId: "id", partitions, ...assignment },
        changed,
        leaderless: [...told.leaderless],
      });
    },
    // deno-lint-ignore require-yield
    async *messages(_, __, stop) {
      const stopped = new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
      if (!stop.aborted) await stopped;
    },
    logEnds: () => Promise.resolve(new Map()),
    isHole: () => Promise.resolve(true),
    cuts: () => Promise.resolve(new Map()),
    hasNewLeader: () => Promise.resolve(false),
    asSetupError: () => null,
    reason: String,
    ...change,
  };
  const status = new StatusReporter((what) => told.heard.push(what));
  const read = (position: Position, signal: AbortSignal) => readings(one, position, status, signal);
  return { told, read };
}

const fromStart: Position = ({ partitions }) =>
  Promise.resolve(new Map(partitions.map(({ partition, logStart }) => [partition, logStart])));

it("readings leaves out a partition without a leader, and begins anew when it has one", async () => {
  const { told, read } = group({ hasNewLeader: () => Promise.resolve(told.leaderless.pop() !== undefined) });
  told.leaderless = [1];
  const stop = new AbortController();
  const seen: number[][] = [];
  for await (const { positions, messages } of read(fromStart, stop.signal)) {
    seen.push([...positions.keys()]);
    if (seen.length === 2) stop.abort();
    for await (const _ of messages);
  }
  expect(seen).toEqual([[0], [0, 1]]);
  expect(told.heard).toEqual(["Nobody leads partition 1 of the topic: the others are read"]);
});

it("readings asks again where Kafka fails while a position is looked up, and throws what the position does", async () => {
  let tries = 0;
  const firstStarts = () => tries++ === 0 ? Promise.reject(new Error("away")) : Promise.resolve(new Map([[0, 7]]));
  const { told, read } = group({}, { firstStarts });
  const stop = new AbortController();
  for await (const { positions } of read(async (one) => await one.firstStarts?.() ?? new Map(), stop.signal)) {
    expect(positions).toEqual(new Map([[0, 7]]));
    stop.abort();
  }
  expect([told.described, told.heard]).toEqual([2, ["Kafka gives no messages (Error: away): trying again"]]);
  const refused = read(() => Promise.reject(new Error("no table")), new AbortController().signal);
  await expect(refused.next()).rejects.toThrow("no table");
});

it("readings asks for the positions once more where a log was cut below them", async () => {
  const cuts = (_: Described, positions: Positions) => Promise.resolve(new Map(positions.get(0) === 8 ? [[0, 3]] : []));
  const { read } = group({ cuts });
  const stop = new AbortController();
  const position: Position = ({ partitions }) =>
    Promise.resolve(new Map(partitions.map(({ partition, cutAt }) => [partition, cutAt ?? 8])));
  for await (const { positions } of read(position, stop.signal)) {
    expect(positions).toEqual(new Map([[0, 3], [1, 8]]));
    stop.abort();
  }
});

it("bounds and startOffsets refuse what cannot be of one and the same log", async () => {
  const find = (at: Readonly<Record<number, number>>) => (partitions: readonly number[], time: number) =>
    Promise.resolve(new Map(partitions.map((partition) => [partition, at[time] ?? -1])));
  await expect(bounds([0], find({ [-2]: 3000, [-1]: 90 }))).rejects.toThrow("where the log of partition 0 begins");
  await expect(startOffsets({ time: 5 }, [0], find({ 5: 3000, [-1]: 90 }))).rejects.toThrow("partition 0");
  await expect(startOffsets("latest", [0], () => Promise.resolve(new Map()))).rejects.toThrow("partition 0");
  expect(await startOffsets({ time: 5 }, [0], find({ [-1]: 90 }))).toEqual(new Map([[0, 90]]));
});
