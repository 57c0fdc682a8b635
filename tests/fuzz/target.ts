import type { Random } from "../support/random.ts";

/** A kind of random input, and the code that must cope with it. */
export interface Target {
  readonly name: string;
  /** The input and the promise, in one line. */
  readonly about: string;
  /** The rounds in `npm test`, which take some seconds. */
  readonly briefRounds: number;
  /** Why it cannot run on this machine; null where it can. */
  readonly missing: string | null;
  /**
   * Opens the means of the rounds. All random values come from `random`, which starts anew for each
   * round.
   */
  open(random: Random): Promise<OpenTarget>;
}

export interface OpenTarget extends AsyncDisposable {
  /**
   * Makes up an input, or a batch of inputs, and tries it. Throws a finding with the input in its
   * message. A round depends on its random numbers only, not on earlier rounds. So a finding can be
   * repeated alone.
   */
  one(): Promise<void>;
}
