import { expect, it } from "vitest";
import { AbortMany } from "../../lib/check/abort_many.ts";

const aborted = (signal: AbortSignal) => {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
};

it("AbortMany aborts all work under way, for the reason of its signal", async () => {
  const controller = new AbortController();
  const many = new AbortMany(controller.signal);
  const works = [many.during(aborted), many.during(aborted)];
  const ended = Promise.allSettled(works);
  const reason = new Error("stop");
  controller.abort(reason);
  expect(await ended).toEqual([{ status: "rejected", reason }, { status: "rejected", reason }]);
});

it("AbortMany leaves the signals of work that has ended as they are", async () => {
  const controller = new AbortController();
  const many = new AbortMany(controller.signal);
  const signal = await many.during((signal) => Promise.resolve(signal));
  await expect(many.during((signal) => Promise.reject(signal))).rejects.toBeInstanceOf(AbortSignal);
  controller.abort();
  expect(signal.aborted).toBe(false);
});

it("AbortMany gives work that begins after the abort a signal that has aborted", async () => {
  const reason = new Error("stop");
  const many = new AbortMany(AbortSignal.abort(reason));
  expect(await many.during((signal) => Promise.resolve(signal.reason))).toBe(reason);
});
