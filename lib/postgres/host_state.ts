import { type Metric, verdictOn } from "../metric.ts";

// The rule that says when a host is up, and why it is down: in TypeScript for programs, in SQL for
// the views. tests/postgres/views.test.ts shows that both say the same.

/**
 * A metric's word about its host. A check that was missed says nothing, nor does a host that was
 * removed.
 */
export type State = "up" | "down" | "unknown";

type Facts = Pick<Metric, "error" | "error_detail" | "status_code" | "is_valid" | "up">;

/**
 * Seconds after its due time for which a check may still come: it may take its timeout (10 seconds by
 * default), and its metric a minute until it is in the table.
 */
export const CHECK_GRACE = 70;

/** The producer's verdict or, where an older one sent none, that of the rule. */
export function stateOf(metric: Omit<Facts, "error_detail">): State {
  const up = metric.up ?? verdictOn(metric);
  return up === null ? "unknown" : up ? "up" : "down";
}

/** Reasons of hosts that are down though their check has no error. */
const NO_ANSWER = "no answer";
const STATUS = "status ";
const NO_MATCH = "the page does not match";

/** Why a host is down, for a person. */
export function reasonDown({ error, error_detail, status_code, is_valid }: Omit<Facts, "up">): string {
  if (error !== null) return error_detail === null ? error : `${error}: ${error_detail}`;
  // Where the page is right, it is the status that the host's options do not have among the right ones.
  if (isBelow400(status_code) && !is_valid) return NO_MATCH;
  // Producers that did not know `error` yet said so.
  return status_code === null || status_code === 0 ? NO_ANSWER : `${STATUS}${status_code}`;
}

/**
 * What is known of a failed check beside its error and status, so that these three tell the reason:
 * where both are right, it is the page that is not.
 */
export function detailOf({ error, error_detail, status_code, is_valid }: Omit<Facts, "up">): string | null {
  return error === null && isBelow400(status_code) && !is_valid ? NO_MATCH : error_detail;
}

/** `reasonDown` for a check of which `detailOf` is known. */
export function reasonOfDetail({ error, error_detail, status_code }: Omit<Facts, "up" | "is_valid">): string {
  return error === null && error_detail !== null
    ? error_detail
    : reasonDown({ error, error_detail, status_code, is_valid: true });
}

/** `reasonOfDetail` as SQL. */
export const REASON_OF_DETAIL_SQL =
  `case when error is not null then ${
    errorSql({ error_detail: true })
  } when error_detail is not null then error_detail ` +
  `when coalesce(status_code, 0) = 0 then '${NO_ANSWER}' else '${STATUS}' || status_code end`;

/** 0 stands for no answer if a column refuses null. */
function isBelow400(status: number | null): boolean {
  return status !== null && status > 0 && status < 400;
}

/** The optional columns that the table of an expression has. */
export interface OptionalColumns {
  readonly error: boolean;
  readonly error_detail: boolean;
  readonly up: boolean;
}

/** `stateOf` as SQL: true if a row finds its host up. Leave out what is no check, see `madeSql`. */
export function upSql({ error, up }: Pick<OptionalColumns, "error" | "up">): string {
  const rule = `${error ? "error is null and " : ""}status_code between 1 and 399 and is_valid`;
  // Rows may be older than the column.
  return up ? `coalesce(up, ${rule}, false)` : `coalesce(${rule}, false)`;
}

/**
 * Leaves out checks that were missed, and hosts that were removed: they are neither up nor down.
 */
export function madeSql({ error }: Pick<OptionalColumns, "error">): string {
  return error ? "(error is null or error not in ('missed', 'removed'))" : "true";
}

/** The error of a row with its detail, in SQL, for a person. The table has the column `error`. */
export function errorSql({ error_detail }: Pick<OptionalColumns, "error_detail">): string {
  return error_detail ? "error || coalesce(': ' || error_detail, '')" : "error";
}

/** `reasonDown` as SQL: null if a row finds its host up. */
export function reasonSql(columns: OptionalColumns): string {
  const error = columns.error ? `when error is not null then ${errorSql(columns)} ` : "";
  return `case when ${
    upSql(columns)
  } then null ${error}when status_code between 1 and 399 and not is_valid then '${NO_MATCH}' ` +
    `when coalesce(status_code, 0) = 0 then '${NO_ANSWER}' else '${STATUS}' || status_code end`;
}

/** What a row says of its host, in SQL, for a table that may lack columns. */
export class RowState {
  readonly columns: ReadonlySet<keyof Metric>;
  protected readonly optional: OptionalColumns;

  constructor(columns: Iterable<keyof Metric>) {
    const own = this.columns = new Set(columns);
    this.optional = { error: own.has("error"), error_detail: own.has("error_detail"), up: own.has("up") };
  }

  /** The column by which an address's rows are found, newest first. */
  get time(): "scheduled_at" | "checked_at" {
    return this.columns.has("scheduled_at") ? "scheduled_at" : "checked_at";
  }

  get up(): string {
    return upSql(this.optional);
  }

  get made(): string {
    return madeSql(this.optional);
  }

  get reason(): string {
    return reasonSql(this.optional);
  }
}
