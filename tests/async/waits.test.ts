import { getEventListeners } from "node:events";
import { expect, it, vi } from "vitest";
import { delay, unlessAborted, until, wait } from "../../lib/async/waits.ts";

const never = new AbortController().signal;

async function* from<T>(...values: readonly T[]): AsyncGenerator<T, void> {
  yield* values;
}

/** A source of one value whose next read never ends. */
function parked() {
  let reads = 0;
  const iterator = {
    next: vi.fn(() => {
      return reads++ === 0 ? Promise.resolve({ done: false as const, value: "first" }) : new Promise<never>(() => {});
    }),
    return: vi.fn(() => Promise.resolve({ done: true as const, value: undefined })),
  };
  return { iterator, source: { [Symbol.asyncIterator]: () => iterator } };
}

it("until gives the values of a source that ends", async () => {
  expect(await Array.fromAsync(until(from(1, 2, 3), never))).toEqual([1, 2, 3]);
  expect(await Array.fromAsync(until(from(), never))).toEqual([]);
});

it("until reads nothing where the signal has aborted already", async () => {
  const { iterator, source } = parked();
  expect(await Array.fromAsync(until(source, AbortSignal.abort()))).toEqual([]);
  expect(iterator.next).not.toHaveBeenCalled();
  expect(iterator.return).toHaveBeenCalledOnce();
});

it("until leaves a read behind that is under way when the signal aborts, and ends the source", async () => {
  const { iterator, source } = parked();
  const controller = new AbortController();
  const values = until(source, controller.signal);
  expect(await values.next()).toEqual({ done: false, value: "first" });
  const second = values.next();
  controller.abort();
  expect(await second).toEqual({ done: true, value: undefined });
  expect(iterator.next).toHaveBeenCalledTimes(2);
  expect(iterator.return).toHaveBeenCalledOnce();
});

it("until begins no further read where the signal aborts between two", async () => {
  const { iterator, source } = parked();
  const controller = new AbortController();
  for await (const value of until(source, controller.signal)) {
    expect(value).toBe("first");
    controller.abort();
  }
  expect(iterator.next).toHaveBeenCalledOnce();
});

it("until throws what the source throws", async () => {
  const broken = new Error("broken");
  async function* source() {
    yield 1;
    throw broken;
  }
  const values = until(source(), never);
  expect(await values.next()).toEqual({ done: false, value: 1 });
  await expect(values.next()).rejects.toBe(broken);
});

it("until swallows what a read left behind, or ending the source, throws later", async () => {
  const read = Promise.withResolvers<IteratorResult<string>>();
  const iterator = { next: () => read.promise, return: () => Promise.reject(new Error("closed")) };
  const controller = new AbortController();
  const values = until({ [Symbol.asyncIterator]: () => iterator }, controller.signal).next();
  controller.abort();
  expect(await values).toEqual({ done: true, value: undefined });
  read.reject(new Error("too late"));
  await expect(read.promise).rejects.toThrow("too late");
});

it("until ends the source, and leaves the signal alone, where its reader breaks off", async () => {
  const { iterator, source } = parked();
  const { signal } = new AbortController();
  for await (const _ of until(source, signal)) break;
  expect(iterator.return).toHaveBeenCalledOnce();
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

it("delay, unlessAborted and wait leave no listener on the signal", async () => {
  const { signal } = new AbortController();
  await delay(0, signal);
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
  await expect(unlessAborted(Promise.reject(new Error("failed")), signal)).rejects.toThrow("failed");
  expect(
    await wait(signal, (done) => {
      done(2);
      return () => {};
    }),
  ).toBe(2);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

it("delay ends when the signal aborts, and unlessAborted and wait reject with its reason", async () => {
  const stop = new AbortController();
  const close = vi.fn();
  const waits = [
    delay(3_600_000, stop.signal),
    unlessAborted(new Promise(() => {}), stop.signal),
    wait(stop.signal, () => close),
  ];
  stop.abort("stopped");
  expect(await Promise.allSettled(waits)).toEqual([
    { status: "fulfilled", value: undefined },
    { status: "rejected", reason: "stopped" },
    { status: "rejected", reason: "stopped" },
  ]);
  expect(close).toHaveBeenCalledOnce();
  await expect(wait(stop.signal, () => close)).rejects.toBe("stopped");
  expect(close).toHaveBeenCalledTimes(2);
});
