import type { CheckError } from "../metric.ts";
import { exhaustedResource } from "../net/exhausted_resource.ts";

/**
 * Why a check got no whole answer. An expected outcome, so it is handed back as a value, not
 * thrown; only where a deadline has to break into a wait is it an abort's reason.
 */
export class Failure {
  readonly error: CheckError;
  /** For a person; made one line by `check`, and never holds what could be a secret (a redirect's address, say). */
  readonly detail: string;

  constructor(error: CheckError, detail: string) {
    this.error = error;
    this.detail = detail;
  }
}

/**
 * The failure of a check that could not be made, since this machine lacked what it takes; null
 * where that is not why.
 */
export function ownFailure(error: unknown): Failure | null {
  const lack = exhaustedResource(error);
  return lack === null ? null : new Failure("missed", lack);
}

/** The system's code of an error, such as ECONNREFUSED, or "" where it has none. */
export function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" ? code : "";
}
