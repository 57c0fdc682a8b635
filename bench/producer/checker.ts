import type { LoadedSite, Scheme } from "./site.ts";

/** One check that came to an end, whoever made it. Times are milliseconds since 1970. */
export interface Checked {
  /** Of the page, such as `/17`. */
  readonly path: string;
  readonly startedAt: number;
  /** Milliseconds, as the checker measured it. */
  readonly latency: number;
  /** Milliseconds from its due time to its start; null where that cannot be told. */
  readonly lateness: number | null;
  /** True where the page came whole and matched. */
  readonly isUp: boolean;
}

/** So many pages, each checked once a second, each second at the same moment. */
export interface Load {
  readonly scheme: Scheme;
  readonly pages: number;
}

/** A run of a checker under load. Disposing of it ends the checker. */
export interface CheckerRun extends AsyncDisposable {
  readonly pid: number;
  /** All checks so far, in the order in which they ended. */
  checks(): Checked[];
}

/** What can be put under load. */
export interface Checker {
  readonly name: string;
  /** Resolves when the first checks are done. */
  start(site: LoadedSite, load: Load): Promise<CheckerRun>;
}
