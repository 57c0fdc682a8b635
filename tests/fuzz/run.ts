import { Random } from "../support/random.ts";
import type { Target } from "./target.ts";

/** The first round that found something. */
export class Finding extends Error {
  override name = "Finding";
}

export interface Rounds {
  readonly seed: number;
  /** True ends the run. Called before each round with the number of rounds so far. */
  isEnough(rounds: number): boolean;
}

/**
 * Makes rounds of a target until `isEnough`, and gives their number. Throws a `Finding` that tells
 * how to repeat the round.
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

/** A seed, where nobody gives one. Rounds add to it, so there must be room above it. */
export function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 31);
}
