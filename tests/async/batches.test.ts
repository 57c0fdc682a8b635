import { expect, it, vi } from "vitest";
import { batches } from "../../lib/async/batches.ts";
import { Queue } from "../../lib/async/queue.ts";

const HOUR = 3600;

async function* from<T>(...values: T[]) {
  yield* values;
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of source) all.push(value);
  return all;
}

it.each([
  { values: [], size: 2, batches: [] },
  { values: [1], size: 2, batches: [[1]] },
  { values: [1, 2], size: 2, batches: [[1, 2]] },
  { values: [1, 2, 3, 4, 5], size: 2, batches: [[1, 2], [3, 4], [5]] },
  { values: [1, 2, 3], size: 1, batches: [[1], [2], [3]] },
])("batches gives $batches for $values by $size", async ({ values, size, batches: expected }) => {
  expect(await collect(batches(from(...values), { size, interval: HOUR }))).toEqual(expected);
});

it("batches gives out what waits once the oldest value is old enough, though the source goes on", async () => {
  const queue = new Queue<number>();
  const groups = batches(queue, { size: 100, interval: 0.02 });
  queue.push(1);
  queue.push(2);
  expect(await groups.next()).toEqual({ done: false, value: [1, 2] });
  queue.push(3);
  expect(await groups.next()).toEqual({ done: false, value: [3] });
  queue.end();
  expect(await groups.next()).toEqual({ done: true, value: undefined });
});

it("batches counts the age from a value's arrival, not from when the caller comes back", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    const queue = new Queue<number>();
    const groups = batches(queue, { size: 2, interval: 10 });
    [1, 2, 3].forEach((value) => queue.push(value));
    expect((await groups.next()).value).toEqual([1, 2]);
    await vi.advanceTimersByTimeAsync(9_000); // The caller works on [1, 2]; 3 waits.
    const next = groups.next();
    await vi.advanceTimersByTimeAsync(1_000);
    expect((await next).value).toEqual([3]);
    queue.end();
    await groups.next();
  } finally {
    vi.useRealTimers();
  }
});

it("batches loses nothing when the source fails: it gives out what waits, then throws", async () => {
  async function* failing() {
    yield 1;
    throw new Error("the source broke");
  }
  const groups = batches(failing(), { size: 5, interval: HOUR });
  expect((await groups.next()).value).toEqual([1]);
  await expect(groups.next()).rejects.toThrow("the source broke");
});

it("batches closes its source when the caller leaves", async () => {
  const closed = vi.fn();
  async function* endless() {
    try {
      for (let value = 0;; value++) yield value;
    } finally {
      closed();
    }
  }
  for await (const group of batches(endless(), { size: 3, interval: HOUR })) {
    expect(group).toEqual([0, 1, 2]);
    break;
  }
  await vi.waitFor(() => expect(closed).toHaveBeenCalledOnce());
});

it("batches lets the caller leave though the source is parked on a read for ever", async () => {
  const queue = new Queue<number>();
  queue.push(1);
  for await (const group of batches(queue, { size: 1, interval: HOUR })) {
    expect(group).toEqual([1]);
    break;
  }
});

it("batches reads on while the caller works on a batch, and gives all that came as the next one", async () => {
  const queue = new Queue<number>();
  const groups = batches(queue, { size: 2, interval: HOUR }, { count: () => 1, weigh: (value) => value, most: 20 });
  [1, 1].forEach((value) => queue.push(value));
  expect((await groups.next()).value).toEqual([1, 1]);
  [3, 3, 5].forEach((value) => queue.push(value));
  await vi.waitFor(() => expect(queue.length).toBe(0));
  expect((await groups.next()).value).toEqual([3, 3, 5]);
});

it("batches reads no more than so much by weight ahead, and gives out a batch that is as heavy though it is small", async () => {
  const queue = new Queue<number>();
  const groups = batches(queue, { size: 100, interval: HOUR }, { count: () => 1, weigh: (value) => value, most: 10 });
  [4, 4, 4, 4].forEach((value) => queue.push(value));
  expect((await groups.next()).value).toEqual([4, 4, 4]);
  queue.end();
  expect(await Array.fromAsync(groups)).toEqual([[4]]);
});

it("batches counts what a value stands for", async () => {
  const measure = { count: (values: string) => values.length, weigh: () => 1, most: 1000 };
  const [first] = await collect(batches(from("ab", "c", "d"), { size: 3, interval: HOUR }, measure));
  expect(first?.join("").startsWith("abc")).toBe(true);
});

it("batches gives only a full batch to a caller who comes back before the work is done", async () => {
  const queue = new Queue<number>();
  let work = Promise.withResolvers<void>();
  const measure = { count: () => 1, weigh: (value: number) => value, most: 10 };
  const causes: string[] = [];
  const groups = batches(queue, { size: 1, interval: HOUR }, measure, (why) => causes.push(why), () => work.promise);
  // Enough for the size, and later for the weight.
  queue.push(6);
  const full = groups.next();
  queue.push(7);
  expect((await full).value).toEqual([6, 7]);
  const next = groups.next();
  queue.push(1);
  queue.push(2);
  expect(await Promise.race([next, aTurn()])).toBe("nothing");
  work.resolve();
  expect((await next).value).toEqual([1, 2]);
  work = Promise.withResolvers();
  const last = groups.next();
  queue.push(3);
  queue.end();
  expect((await last).value).toEqual([3]);
  expect(causes).toEqual(["size", "size", "size"]);
  expect(await groups.next()).toEqual({ done: true, value: undefined });
});

it("batches goes on where the work fails", async () => {
  const queue = new Queue<number>();
  const groups = batches(
    queue,
    { size: 1, interval: HOUR },
    undefined,
    undefined,
    () => Promise.reject(new Error("x")),
  );
  queue.push(1);
  expect((await groups.next()).value).toEqual([1]);
  await groups.return(undefined);
});

const aTurn = () => new Promise<"nothing">((resolve) => setImmediate(resolve, "nothing"));
