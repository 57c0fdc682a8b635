import { poolerSaying } from "./database/pooler.ts";

/** A parameter of a statement. Arrays travel as one text, see `pg_text.ts`. */
export type Parameter = string | number | boolean | null;

/** A PostgreSQL database as the store needs it, wherever it runs. */
export interface Database extends AsyncDisposable {
  /**
   * Runs one statement in a transaction of its own. Rejects when it fails, or when its deadline
   * passes.
   */
  query<R extends object>(text: string, parameters?: readonly Parameter[]): Promise<R[]>;
  /** Runs several statements, split by semicolons, in one transaction. */
  script(text: string): Promise<void>;
  /**
   * One line that a person should know of the way to the database; null if there is none. It is
   * known after the first statement.
   */
  readonly remark?: string | null;
}

/** A fault that only a person can mend; the message says how. */
export class SetupError extends Error {
  override name = "SetupError";
}

/**
 * The remedy for a failure: waiting, or a person. No code tells whether a row is at fault: the
 * store tries (docs/promises.md).
 */
export type Remedy = "wait" | "setup";

/** PostgreSQL's report of a failed statement, in one form for every client. */
export interface SqlFailure {
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  readonly detail: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  readonly column: string | null;
  readonly constraint: string | null;
  /** The function of the server's source that failed. Unlike the message, it is in no language. */
  readonly routine: string | null;
}

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** "Internal error" stands in for the code if a server gives none. */
const NO_SQLSTATE = "XX000";

/**
 * Reads the error of a client: postgres.js says `constraint_name`, PGlite says `constraint`. Null:
 * it is not the server's. Any field but message and severity may be missing, even if PostgreSQL
 * always has it: poolers and kindred servers leave out many.
 */
export function sqlFailure(error: unknown): SqlFailure | null {
  if (!(error instanceof Error)) return null;
  const fields = error as unknown as Record<string, unknown>;
  // System calls have names such as EPERM; only an error of the server has a severity too.
  // PgBouncer gives only the local one.
  if ((fields.severity ?? fields.severity_local) === undefined) return null;
  const field = (...names: string[]) => {
    const value = names.map((name) => fields[name]).find((value) => typeof value === "string");
    return typeof value === "string" ? value : null;
  };
  const code = field("code") ?? "";
  return {
    code: SQLSTATE.test(code) ? code : NO_SQLSTATE,
    message: error.message,
    detail: field("detail"),
    schema: field("schema_name", "schema"),
    table: field("table_name", "table"),
    column: field("column_name", "column"),
    constraint: field("constraint_name", "constraint"),
    routine: field("routine"),
  };
}

/**
 * The entry that a SQLSTATE begins with decides. All other failures are for a person to look at.
 */
const REMEDIES: readonly (readonly [prefix: string, remedy: Remedy])[] = [
  ["08", "wait"], // connection
  ["25006", "wait"], // read-only: a standby that will be, or was, the primary
  ["25P", "wait"], // a transaction that was cut off, or took too long
  ["26000", "wait"], // a prepared statement is gone: the next connection prepares its own
  ["40", "wait"], // serialization, deadlock
  ["42P05", "wait"], // a prepared statement is there already, of another client of a pooler
  ["53", "wait"], // disk full, out of memory, too many connections
  ["55P03", "wait"], // lock not available in time
  ["57", "wait"], // shutting down, starting up, statement cancelled
  ["58", "wait"], // input and output
];

/** Codes of the clients and the system for a connection that is not there, or no longer. */
const LOST_CONNECTION = new Set([
  "CONNECT_TIMEOUT",
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOENT", // the Unix socket of a server that is not started yet
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);

/** True if `error` says that there is no connection, or that it broke or fell silent. */
export function isConnectionLoss(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && LOST_CONNECTION.has(code);
}

/** True if a partition is missing. A check fails then too, but no row can be blamed for it. */
export const isMissingPartition = (failure: SqlFailure) =>
  failure.code === "23514" &&
  (failure.routine?.includes("Partition") ?? failure.message.startsWith("no partition of relation"));

/**
 * The remedy for `error`. The SQLSTATE decides or, if the server could not be reached, the name of
 * the failure. An unknown failure is "setup": it is better to stop and say so than to wait for
 * ever.
 */
export function classifyError(error: unknown): Remedy {
  const failure = sqlFailure(error);
  if (failure === null) return isConnectionLoss(error) ? "wait" : "setup";
  const saying = poolerSaying(failure);
  if (saying !== null) return saying.remedy;
  return REMEDIES.find(([prefix]) => failure.code.startsWith(prefix))?.[1] ?? "setup";
}

/** The server cannot convert our texts to the encoding of its database, or back. */
const isStrangeEncoding = (failure: SqlFailure) =>
  failure.code === "0A000" && failure.routine === "InitializeClientEncoding";

/** The advice to a person, by SQLSTATE. */
const ADVICE: readonly (readonly [prefix: string, advice: string])[] = [
  ["28P01", "check DB_USER (--db-user) and DB_PASSWORD (or --db-password-file)"],
  [
    "28000",
    "check DB_USER (--db-user), DB_SSL_MODE (--db-ssl-mode) and the server's pg_hba.conf, which decides who may connect from where",
  ],
  ["3D000", "check DB_NAME (--db-name), or create the database"],
  ["3F000", "check DB_TABLE (--db-table), or create the schema"],
  ["42501", "grant the role what `consumer.ts --print-schema` names"],
  ["42P01", "start again to create what is missing, or check DB_TABLE (--db-table)"],
  ["42703", "the table was changed: start again, or compare it with `consumer.ts --print-schema`"],
  ["23502", "give the column a default, or drop its NOT NULL"],
  ["23514", "create the partition that the row belongs to, or a default partition"],
  ["53300", "raise the server's max_connections, or close other connections"],
];

const POLICY_ADVICE = "let a policy of the table allow the role to insert what it gets (create policy … for insert)";

function adviceFor(failure: SqlFailure): string | undefined {
  // Most failed checks are a row's fault.
  if (failure.code === "23514" && !isMissingPartition(failure)) return undefined;
  // This failure has the code of a missing right; but a trigger may use that code too.
  if (failure.routine === "ExecWithCheckOptions" && failure.code === "42501") return POLICY_ADVICE;
  if (isStrangeEncoding(failure)) return "use a database with the encoding UTF8 (create database … encoding 'UTF8')";
  return ADVICE.find(([prefix]) => failure.code.startsWith(prefix))?.[1];
}

/**
 * A plain line for a person: what failed and, if that is known, which setting mends it. Statements
 * to run follow it.
 */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The statements to run stand on lines of their own.
  if (error instanceof SetupError) return error.message.trimEnd();
  const failure = sqlFailure(error);
  if (failure === null) return oneLine(error.message || error.name);
  const saying = poolerSaying(failure);
  const advice = saying === null ? adviceFor(failure) : saying.advice ?? undefined;
  const detail = failure.detail === null ? "" : ` (${failure.detail})`;
  const words = `${failure.message}${detail}${advice === undefined ? "" : `; ${advice}`}`;
  return oneLine(saying === null ? `PostgreSQL says: ${words}` : `The pooler in front of PostgreSQL says: ${words}`);
}

const oneLine = (text: string) => text.replaceAll(/\s*\n\s*/g, " ");

/** What others are to blame for: a lock was not there in time, a deadlock, or a statement's time limit. */
const IN_USE = ["55P03", "40P01", "57014"];

/** True if others use what the statement needed: it may pass another time. */
export function isInUse(error: unknown): boolean {
  return IN_USE.includes(sqlFailure(error)?.code ?? "");
}
