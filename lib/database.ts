/** What a statement is given. Arrays travel as one text, see `pg_text.ts`. */
export type Parameter = string | number | boolean | null;

/** The little that the store needs of a PostgreSQL database, wherever it runs. */
export interface Database extends AsyncDisposable {
  /** Runs one statement in a transaction of its own; rejects when it fails or when its deadline passes. */
  query<R extends object>(text: string, parameters?: readonly Parameter[]): Promise<R[]>;
  /** Runs several statements, split by semicolons, in one transaction. */
  script(text: string): Promise<void>;
}

/** Something that only a person can mend; the message says how. */
export class SetupError extends Error {
  override name = "SetupError";
}

/** What a failure calls for: waiting, rejecting the row that caused it, or a person. */
export type Remedy = "wait" | "row" | "setup";

/** What PostgreSQL says of a failed statement, in one form for every client. */
export interface SqlFailure {
  /** SQLSTATE. */
  readonly code: string;
  readonly message: string;
  readonly detail: string | null;
  readonly schema: string | null;
  readonly table: string | null;
  readonly column: string | null;
  readonly constraint: string | null;
  /** The function of the server's source that failed: other than the message it is in no language. */
  readonly routine: string | null;
}

const SQLSTATE = /^[0-9A-Z]{5}$/;

/** Reads the error of a client: postgres.js says `constraint_name` where PGlite says `constraint`. Null: not PostgreSQL's. */
export function sqlFailure(error: unknown): SqlFailure | null {
  if (!(error instanceof Error)) return null;
  const fields = error as unknown as Record<string, unknown>;
  // System calls have names such as EPERM; only an error of the server has a severity too.
  if (typeof fields.code !== "string" || !SQLSTATE.test(fields.code) || fields.severity === undefined) return null;
  const field = (...names: string[]) => {
    const value = names.map((name) => fields[name]).find((value) => typeof value === "string");
    return typeof value === "string" ? value : null;
  };
  return {
    code: fields.code,
    message: error.message,
    detail: field("detail"),
    schema: field("schema_name", "schema"),
    table: field("table_name", "table"),
    column: field("column_name", "column"),
    constraint: field("constraint_name", "constraint"),
    routine: field("routine"),
  };
}

/** Longest match of a SQLSTATE's beginning decides. Whatever is not named here is a person's to look at. */
const REMEDIES: readonly (readonly [prefix: string, remedy: Remedy])[] = [
  ["08", "wait"], // connection
  ["22", "row"], // data
  ["23", "row"], // constraint
  ["25006", "wait"], // read-only: a standby that will be, or was, the primary
  ["40", "wait"], // serialization, deadlock
  ["53", "wait"], // disk full, out of memory, too many connections
  ["54000", "row"], // a value too long for the index
  ["55P03", "wait"], // lock not available in time
  ["57", "wait"], // shutting down, starting up, statement cancelled
  ["58", "wait"], // input and output
  ["P0001", "row"], // `raise exception` of a user's trigger
];

/** What the clients and the system say when the connection is not there, or no longer. */
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

/** True where `error` says that there is no connection, or that it broke or fell silent. */
export function isConnectionLoss(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && LOST_CONNECTION.has(code);
}

/** A partition that does not exist makes a check fail too, but no row can be blamed for it. */
const isMissingPartition = (failure: SqlFailure) =>
  failure.code === "23514" && (failure.routine?.includes("Partition") ?? false);

/** A connection pooler in between refuses the session settings that the store relies on. */
const isRefusedParameter = (failure: SqlFailure) =>
  failure.code === "08P01" && failure.message.includes("startup parameter");

/**
 * What `error` calls for (exactly-once.md, "What it rests on"). By SQLSTATE, and where the server could not be reached,
 * by the name of the failure. What is not known is "setup": better to stop and say so than to wait for ever.
 */
export function remedyFor(error: unknown): Remedy {
  const failure = sqlFailure(error);
  if (failure === null) return isConnectionLoss(error) ? "wait" : "setup";
  if (isMissingPartition(failure) || isRefusedParameter(failure)) return "setup";
  return REMEDIES.find(([prefix]) => failure.code.startsWith(prefix))?.[1] ?? "setup";
}

/** The server cannot turn our texts into those of its database, nor back. */
const isStrangeEncoding = (failure: SqlFailure) =>
  failure.code === "0A000" && failure.routine === "InitializeClientEncoding";

/** What a person can do about a SQLSTATE. */
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
  [
    "08P01",
    "where a pooler is in between, let it pass the settings (PgBouncer: ignore_startup_parameters), or name the server itself in DB_HOST",
  ],
  ["53300", "raise the server's max_connections, or close other connections"],
];

function adviceFor(failure: SqlFailure): string | undefined {
  // Most failed checks are a row's fault, and most breaches of the protocol pass.
  if (failure.code === "23514" && !isMissingPartition(failure)) return undefined;
  if (failure.code === "08P01" && !isRefusedParameter(failure)) return undefined;
  if (isStrangeEncoding(failure)) return "use a database with the encoding UTF8 (create database … encoding 'UTF8')";
  return ADVICE.find(([prefix]) => failure.code.startsWith(prefix))?.[1];
}

/** One plain line for a person: what failed and, where that is known, which setting mends it; statements to run follow it. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The statements to run stand on lines of their own.
  if (error instanceof SetupError) return error.message.trimEnd();
  const failure = sqlFailure(error);
  if (failure === null) return oneLine(error.message || error.name);
  const advice = adviceFor(failure);
  const detail = failure.detail === null ? "" : ` (${failure.detail})`;
  return oneLine(`PostgreSQL says: ${failure.message}${detail}${advice === undefined ? "" : `; ${advice}`}`);
}

const oneLine = (text: string) => text.replaceAll(/\s*\n\s*/g, " ");
