import { expect, it } from "vitest";
import { allUsable, UsageError } from "../../lib/config/usage_error.ts";

const refuse = (...problems: readonly string[]) => Promise.reject(new UsageError(problems));

it("UsageError keeps its problems, and says each on a line", () => {
  const error = new UsageError(["a is wrong", "b is missing"]);
  expect(error).toMatchObject({ name: "UsageError", message: "a is wrong\nb is missing" });
  expect(error.problems).toEqual(["a is wrong", "b is missing"]);
});

it("allUsable gives the results of all, in order", async () => {
  const slow = new Promise<string>((resolve) => setImmediate(resolve, "slow"));
  expect(await allUsable<[string, number]>(slow, Promise.resolve(2))).toEqual(["slow", 2]);
  expect(await allUsable<[]>()).toEqual([]);
});

it("allUsable throws one UsageError with the problems of all, in order", async () => {
  const slow = new Promise<never>((_, reject) => setImmediate(reject, new UsageError(["a", "b"])));
  const work = allUsable<[string, number, string]>(slow, Promise.resolve(2), refuse("c"));
  await expect(work).rejects.toMatchObject({ name: "UsageError", problems: ["a", "b", "c"] });
});

it("allUsable throws any other error as it is, before problems", async () => {
  const surprise = new TypeError("nobody expected this");
  await expect(allUsable<[string, string]>(refuse("a"), Promise.reject(surprise))).rejects.toBe(surprise);
});
