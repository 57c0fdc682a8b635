import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { Bell } from "../../lib/async/bell.ts";

const HOUR = 3_600_000;

it("Bell wakes a waiter", async () => {
  const bell = new Bell();
  const [timed, untimed] = [bell.wait(HOUR), new Bell()];
  bell.ring();
  expect(await timed).toBe(true);
  const waiting = untimed.wait();
  untimed.ring();
  expect(await waiting).toBe(true);
});

it("Bell keeps a ring that nobody waited for, and two of them as one", async () => {
  const bell = new Bell();
  bell.ring();
  bell.ring();
  expect(await bell.wait()).toBe(true);
  expect(await bell.wait(0)).toBe(false);
});

it("Bell waits no longer than it is told to, and until the signal aborts", async () => {
  const bell = new Bell();
  const stop = new AbortController();
  expect(await bell.wait(0, stop.signal)).toBe(false);
  const waiting = bell.wait(HOUR, stop.signal);
  expect(getEventListeners(stop.signal, "abort").length).toBe(1);
  stop.abort();
  expect(await waiting).toBe(false);
  expect(await bell.wait(HOUR, stop.signal)).toBe(false);
});

it("Bell leaves no listener on the signal", async () => {
  const { signal } = new AbortController();
  const bell = new Bell();
  const waiting = bell.wait(HOUR, signal);
  bell.ring();
  await waiting;
  await bell.wait(0, signal);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
