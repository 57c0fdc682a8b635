import { Random } from "../support/random.ts";
import type { Target } from "./target.ts";

/** The first round that found something. */
export class Finding extends Error {
  override name = "Finding";
}

export interface Rounds {
  readonly seed: number;
  /** Asked before each round, with the number of rounds made so far. */
  isEnough(rounds: number): boolean;
}

/**
 * Makes rounds of a target until they are enough, and gives their number. Throws a `Finding` that
 * tells how to repeat it.
 */
export async function fuzz(target: Target, { seed, isEnough }: Rounds): Promise<number> {
  const random = new Random(seed);
  await using open = await target.open(random);
  let rounds = 0;
  for (; !isEnough(rounds); rounds++) {
    random.restart(seed + rounds);
    try {
      await open.one();
    } catch (error) {
      const again = `npm run test:fuzz -- --only ${target.name} --seed ${seed + rounds} --rounds 1`;
      throw new Finding(`${(error as Error).message}\n(again with: ${again})`, { cause: error });
    }
  }
  return rounds;
}

/** A seed to begin with, where nobody gives one. Rounds count on from it, so there must be room above. */
export function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 31);
}
