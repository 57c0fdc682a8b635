import type { MatchQuestion } from "./worker.ts";

/** Why a body could not be matched, for a person; and what the check then is. */
export class Unmatched {
  readonly reason: string;
  /** `missed` where the host is not to blame: others kept it waiting. */
  readonly error: "body" | "missed";

  constructor(reason: string, error: "body" | "missed" = "body") {
    this.reason = reason;
    this.error = error;
  }
}

/** A body to match in a worker. */
export interface Job {
  readonly question: MatchQuestion;
  /** Whose body it is. */
  readonly who: string;
  /** Seconds that it may take, and as long again that it may wait. */
  readonly limit: number;
  readonly signal: AbortSignal;
  readonly resolve: (outcome: boolean | Unmatched) => void;
  readonly reject: (reason: unknown) => void;
}
