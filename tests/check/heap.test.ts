import { expect, it } from "vitest";
import { Heap } from "../../lib/check/scheduler/heap.ts";
import { Random } from "../support/random.ts";

const SEED = Date.now() % 2 ** 31;

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

it("Heap gives values back smallest first, though keys change and values are taken out", () => {
  const random = new Random(SEED);
  const values = Array.from({ length: 500 }, (_, name) => ({ name, key: random.between(0, 1000), place: -1 }));
  const heap = new Heap<typeof values[number]>(({ key }) => key, (value, place) => value.place = place);
  for (let turn = 0; turn < 5000; turn++) {
    const value = random.pick(values);
    if (value.place === -1) heap.add(value);
    else if (random.next() < 0.3) heap.remove(value.place);
    else {
      value.key = random.between(0, 1000);
      heap.move(value.place);
    }
  }
  const kept = values.filter(({ place }) => place !== -1);
  const taken = Array.from({ length: kept.length }, () => heap.take());
  expect(taken.map((value) => value?.key), `seed ${SEED}`).toEqual(kept.map(({ key }) => key).sort((a, b) => a - b));
  expect(new Set(taken), `seed ${SEED}`).toEqual(new Set(kept));
  expect([heap.take(), values.every(({ place }) => place === -1)]).toEqual([undefined, true]);
});

it("Heap is empty at first", () => {
  const heap = new Heap<number>((value) => value);
  expect([heap.peek(), heap.take()]).toEqual([undefined, undefined]);
});
