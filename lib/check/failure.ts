import type { CheckError } from "../metric.ts";
import { exhaustedResource } from "../net/exhausted_resource.ts";

/**
 * Why a check got no whole answer. It is an expected outcome, so it is returned and not thrown. The
 * deadline is the exception: it aborts a signal with a `Failure` as the reason, and the wait that
 * it ends throws that.
 */
export class Failure {
  readonly error: CheckError;
  /**
   * For a person; `check` makes it one line. It never holds a possible secret, such as the address
   * of a redirect.
   */
  readonly detail: string;

  constructor(error: CheckError, detail: string) {
    this.error = error;
    this.detail = detail;
  }
}

/**
 * The failure of a check that could not be made, because this machine lacked something. Null where
 * `error` has another cause.
 */
export function ownFailure(error: unknown): Failure | null {
  const lack = exhaustedResource(error);
  return lack === null ? null : new Failure("missed", lack);
}

/** The system's code of an error, such as ECONNREFUSED; empty where it has none. */
export function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" ? code : "";
}
