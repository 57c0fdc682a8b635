import { expect, it } from "vitest";
import { concurrently } from "../lib/concurrently.ts";
import { Queue } from "../lib/queue.ts";

async function* upTo(count: number) {
  for (let value = 0; value < count; value++) yield value;
}

it.each([1, 2, 7, 100])("concurrently runs at most %i at a time, and every value once", async (limit) => {
  let running = 0;
  let most = 0;
  const work = async (value: number) => {
    most = Math.max(most, ++running);
    for (let turn = 0; turn < 60 + value % 5; turn++) await new Promise(setImmediate);
    running--;
    return value;
  };
  const results: number[] = [];
  for await (const result of concurrently(upTo(50), limit, work)) results.push(result);
  expect(results.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index));
  expect(most).toBe(Math.min(limit, 50));
});

it("concurrently gives each result as soon as it is ready, though another hangs", async () => {
  const source = new Queue<number>();
  const hang = Promise.withResolvers<number>();
  const results = concurrently(source, 2, (value) => value === 0 ? hang.promise : Promise.resolve(value));
  for (const value of [0, 1, 2]) source.push(value);
  expect((await results.next()).value).toBe(1);
  expect((await results.next()).value).toBe(2);
  hang.resolve(0);
  source.end();
  expect((await results.next()).value).toBe(0);
  expect((await results.next()).done).toBe(true);
});

it("concurrently ends with the first failure", async () => {
  const results = concurrently(
    upTo(3),
    2,
    (value) => value === 1 ? Promise.reject(new Error("no")) : Promise.resolve(value),
  );
  await expect(Array.fromAsync(results)).rejects.toThrow("no");
});
