import type { HostOptions } from "../../hosts/host_options.ts";
import type { Metric } from "../../metric.ts";
import { AT_ONCE } from "../checker.ts";
import type { Unmatched } from "../matching.ts";

/**
 * Tasks that a worker has and that have not begun, as far as it has told. It tells of half as many
 * at the latest, so that there is always room where it can begin more.
 */
export const MOST_WAITING = 4 * AT_ONCE;

/** How a worker makes its checks: plain data, which crosses to it. */
export interface WorkerSettings {
  /** Seconds for a check. */
  readonly timeout: number;
  readonly location: string | null;
  readonly producer: string | null;
  /** The producer is a member of a group. */
  readonly isGrouped: boolean;
  readonly userAgent: string;
  readonly blockPrivateAddresses: boolean;
  /** See `runtimeAuthorities`. */
  readonly denoCertificatesFile: string | null;
}

/** A check to make. */
export interface Task {
  readonly id: number;
  readonly address: string;
  readonly authorization: string | null;
  /** The sources of its patterns. */
  readonly pattern: string | null;
  readonly absent: string | null;
  readonly options: HostOptions | null;
  /** Milliseconds since 1970. */
  readonly scheduledAt: number;
  readonly wantsEvidence: boolean;
}

/** A large body that a check wants to have matched. */
export interface BodyQuestion {
  readonly id: number;
  readonly source: string;
  /** It is no Uint8Array: see `MatchQuestion`. */
  readonly bytes: ArrayBuffer;
  readonly contentType: string | null;
  /** Seconds. */
  readonly limit: number;
  readonly who: string;
}

/** The answer to the question with this id; a failure where it has none. */
export interface BodyAnswer {
  readonly id: number;
  readonly outcome: boolean | Pick<Unmatched, "reason" | "error"> | { readonly failure: string };
}

/** What a worker is told: checks to make, checks to give up, and an answer. */
export type Order =
  | { readonly tasks: readonly Task[]; readonly givenUp: readonly number[] }
  | { readonly answer: BodyAnswer };

/** What a worker tells: that it is ready, a question, one that it takes back, or the state of its tasks. */
export type News =
  | "ready"
  | { readonly question: BodyQuestion }
  | { readonly withdrawn: number }
  | Outcomes;

export interface Outcomes {
  /** How many tasks have begun. */
  readonly begun: number;
  readonly made: readonly (readonly [id: number, metric: Metric])[];
  readonly failed: readonly (readonly [id: number, message: string])[];
}
