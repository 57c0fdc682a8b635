import process from "node:process";
import { describe, expect, it } from "vitest";
import { Finding, fuzz, newSeed } from "./fuzz/run.ts";
import type { Target } from "./fuzz/target.ts";
import { TARGETS } from "./fuzz/targets.ts";
import { skipped } from "./support/kafka.ts";
import { Random } from "./support/random.ts";

/** A target that gives each of its rounds a random number. */
function targetOf(one: (number: number) => void): Target {
  const open = (random: Random) =>
    Promise.resolve({
      one: () => Promise.try(one, random.next()),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  return { name: "numbers", about: "", briefRounds: 1, missing: null, open };
}

describe("fuzz", () => {
  it("fuzz makes so many rounds, each of them with the numbers of a seed of its own", async () => {
    const numbers: number[] = [];
    expect(await fuzz(targetOf((number) => numbers.push(number)), { seed: 7, isEnough: (n) => n === 3 })).toBe(3);
    expect(numbers).toEqual([7, 8, 9].map((seed) => new Random(seed).next()));
  });

  it("fuzz tells how to repeat a finding alone", async () => {
    const third = new Random(9).next();
    const target = targetOf((number) => {
      if (number === third) throw new Error("too large");
    });
    const words = "too large\n(again with: npm run test:fuzz -- --only numbers --seed 9 --rounds 1)";
    await expect(fuzz(target, { seed: 7, isEnough: (n) => n === 100 })).rejects.toThrow(new Finding(words));
    await expect(fuzz(target, { seed: 9, isEnough: (n) => n === 1 })).rejects.toThrow(new Finding(words));
  });
});

describe.each(TARGETS)("fuzzing $name", (target) => {
  // A change must pass the same rounds everywhere. A finding of a new seed is seldom the fault of
  // that change.
  const seed = process.env.CI === undefined ? newSeed() : 1;
  it.runIf(target.missing === null || skipped(target.missing))(
    `finds nothing in ${target.briefRounds} rounds (seed ${seed})`,
    async () => {
      const isEnough = (rounds: number) => rounds === target.briefRounds;
      expect(await fuzz(target, { seed, isEnough })).toBe(target.briefRounds);
    },
    300_000,
  );
});
