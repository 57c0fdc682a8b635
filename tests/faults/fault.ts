import type { World } from "./world.ts";

/**
 * Something that breaks, and how it is mended: what `npm run test:faults` can strike with. One
 * entry of a list each.
 */
export interface Fault {
  readonly name: string;
  /** Faults of different parts may strike at the same time. */
  readonly part: "programs" | "broker" | "database";
  /** Strikes alone, after everything made is stored; nothing is made meanwhile unless `strike` resumes it. */
  readonly isCalm?: boolean;
  /** Strikes consumers at work, or asks the broker, and so not while another fault keeps it from that. */
  readonly needsFlow?: boolean;
  /** A consumer may give up while it lasts, as the contract says, and is then started again. */
  readonly mayGiveUp?: boolean;
  /** How long it lasts, in milliseconds: in a short run, and else. None: it is over when `strike` is. */
  readonly lasts?: { readonly short: Range; readonly long: Range };
  /** Why it cannot strike here, or null. */
  missing?(world: World): string | null;
  strike(world: World): Promise<Struck | void>;
}

/** What became of a strike. */
export interface Struck {
  /** How often it struck, where that is not once. */
  readonly times?: number;
  /** Mends what is broken. */
  heal?(): Promise<void> | void;
}

export type Range = readonly [least: number, most: number];
