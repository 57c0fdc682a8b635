import { expect, it } from "vitest";
import { Queue } from "../../lib/async/queue.ts";

it("Queue gives its values in order and ends when it is ended", async () => {
  const queue = new Queue<number>();
  const read: number[] = [];
  const reading = (async () => {
    for await (const value of queue) read.push(value);
  })();
  for (let value = 0; value < 5_000; value++) queue.push(value);
  queue.end();
  await reading;
  expect(read).toEqual(Array.from({ length: 5_000 }, (_, index) => index));
  expect(queue.length).toBe(0);
});

it("Queue drops the oldest beyond its limit, and counts", async () => {
  const queue = new Queue<number>(3);
  for (let value = 0; value < 10; value++) queue.push(value);
  queue.end();
  const left: number[] = [];
  for await (const value of queue) left.push(value);
  expect(left).toEqual([7, 8, 9]);
  expect(queue.dropped).toBe(7);
});

it("Queue refuses a value after its end", () => {
  const queue = new Queue<number>();
  queue.end();
  expect(() => queue.push(1)).toThrow(new TypeError("Cannot push to a queue that has ended"));
});
