import type { World } from "./world.ts";

/**
 * A fault that `npm run test:faults` can strike with, and its remedy. Each fault is one entry of a
 * list.
 */
export interface Fault {
  readonly name: string;
  /** The part that breaks. Faults of different parts may strike at the same time. */
  readonly part: "programs" | "broker" | "database" | "receiver";
  /**
   * It strikes alone, after all numbers are stored. No number is made meanwhile, unless `strike`
   * resumes the generator.
   */
  readonly isCalm?: boolean;
  /**
   * It needs consumers at work, or a broker that answers. So it never strikes during a fault that
   * prevents this.
   */
  readonly needsFlow?: boolean;
  /**
   * It loses metrics, or moves addresses to other partitions: the planned hosts rest meanwhile, as
   * they do for calm faults. Incidents are as planned only if each check comes, in its order.
   */
  readonly restsPlan?: boolean;
  /** A consumer may give up while the fault lasts. It is then started again. */
  readonly mayGiveUp?: boolean;
  /**
   * Its duration in milliseconds, in a short run and in a long one. Absent: it is over when
   * `strike` ends.
   */
  readonly lasts?: { readonly short: Range; readonly long: Range };
  /** Why it cannot strike on this machine, or null. */
  missing?(world: World): string | null;
  strike(world: World): Promise<Struck | void>;
}

/** The outcome of a strike. */
export interface Struck {
  /** How often it struck; absent: once. */
  readonly times?: number;
  /** Undoes the damage. */
  heal?(): Promise<void> | void;
}

export type Range = readonly [least: number, most: number];
