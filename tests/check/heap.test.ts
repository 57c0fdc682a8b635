import { expect, it } from "vitest";
import { Heap } from "../../lib/check/scheduler/heap.ts";

it("Heap gives values back smallest first, whatever the order they came in", () => {
  let seed = 7;
  const random = () => seed = seed * 48271 % 2147483647;
  const values = Array.from({ length: 1_000 }, random);
  const heap = new Heap<number>((value) => value);
  const taken: number[] = [];
  for (const value of values) {
    heap.add(value);
    if (value % 3 === 0) taken.push(heap.take() as number);
  }
  const rest: number[] = [];
  while (heap.peek() !== undefined) rest.push(heap.take() as number);
  expect(rest).toEqual([...rest].sort((a, b) => a - b));
  expect([...taken, ...rest].sort((a, b) => a - b)).toEqual([...values].sort((a, b) => a - b));
});

it("Heap is empty at first", () => {
  const heap = new Heap<number>((value) => value);
  expect([heap.peek(), heap.take()]).toEqual([undefined, undefined]);
});
