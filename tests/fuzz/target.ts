import type { Random } from "../support/random.ts";

/** A kind of input that is made up at random, and the code that must get on with it. */
export interface Target {
  readonly name: string;
  /** What is made up and what must hold, in one line. */
  readonly about: string;
  /** Rounds that `npm test` makes of it: some seconds. */
  readonly briefRounds: number;
  /** Why it cannot run here; null where it can. */
  readonly missing: string | null;
  /** Opens what the rounds need. Everything random comes from `random`, which starts anew for each round. */
  open(random: Random): Promise<OpenTarget>;
}

export interface OpenTarget extends AsyncDisposable {
  /**
   * Makes up an input, or a batch of them, and tries it. Throws on a finding, with the input in the message.
   * A round depends on the random numbers alone, never on the rounds before it: so a finding can be repeated alone.
   */
  one(): Promise<void>;
}
