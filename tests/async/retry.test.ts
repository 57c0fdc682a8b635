import { expect, it, vi } from "vitest";
import { backOff, retry } from "../../lib/async/retry.ts";

const never = new AbortController().signal;
const passing = new Error("not yet");
const lasting = new Error("never");
const isPassing = (error: unknown) => error === passing;

it("retry comes back until it works, and says the wait and the recovery once", async () => {
  const onWait = vi.fn();
  const onRecovery = vi.fn();
  let tries = 0;
  const work = () => ++tries < 3 ? Promise.reject(passing) : Promise.resolve("done");
  expect(await retry(work, { signal: never, isPassing, onWait, onRecovery })).toBe("done");
  expect(tries).toBe(3);
  expect(onWait.mock.calls).toEqual([[passing]]);
  expect(onRecovery).toHaveBeenCalledOnce();
});

it("retry says nothing where it works at once", async () => {
  const onWait = vi.fn();
  const onRecovery = vi.fn();
  await retry(() => Promise.resolve(), { signal: never, isPassing, onWait, onRecovery });
  expect([onWait.mock.calls, onRecovery.mock.calls]).toEqual([[], []]);
});

it("retry throws at once what waiting cannot mend", async () => {
  const work = vi.fn(() => Promise.reject(lasting));
  await expect(retry(work, { signal: never, isPassing })).rejects.toBe(lasting);
  expect(work).toHaveBeenCalledOnce();
});

it("retry ends its waiting when the signal aborts, with the last failure", async () => {
  const controller = new AbortController();
  const waiting = retry(() => Promise.reject(passing), { signal: controller.signal, isPassing });
  controller.abort();
  await expect(waiting).rejects.toBe(passing);
});

it.each([
  { attempt: 0, least: 50, most: 100 },
  { attempt: 1, least: 100, most: 200 },
  { attempt: 5, least: 1600, most: 3200 },
  { attempt: 6, least: 2500, most: 5000 },
  { attempt: 2000, least: 2500, most: 5000 },
])("backOff before try $attempt + 1 lies between $least and $most ms", ({ attempt, least, most }) => {
  expect(backOff(attempt, () => 0)).toBe(least);
  expect(backOff(attempt, () => 1)).toBe(most);
});
