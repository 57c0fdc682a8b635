import type postgres from "postgres";
import type { Parameter } from "../database.ts";

/** One request to the server. */
export interface Statement {
  readonly text: string;
  /**
   * Null: a script of several statements. It goes by the simple protocol, which makes one
   * transaction of them.
   */
  readonly parameters: readonly Parameter[] | null;
}

/** Runs a statement on a connection, after those that were given before it. */
export type Run = (statement: Statement) => Promise<readonly unknown[]>;

/** Settings that hold at the server while a statement runs, by name. */
export type SessionSettings = Readonly<Record<string, string | number>>;

/** Limits of a session: times in milliseconds. */
export interface PostgresPatience {
  /**
   * For a statement and, if there is none yet, the connection. After it the connection is thrown
   * away.
   */
  readonly answer: number;
  /** For a connection. */
  readonly connect: number;
  /**
   * After it the server gives up a statement by itself. It is less than `answer`, so that the
   * server's own word comes first.
   */
  readonly statement: number;
  /** After it the server gives up waiting for a row that somebody else holds. */
  readonly lock: number;
  /** True if the server lets the statements only read. */
  readonly isReadOnly?: boolean;
}

/** Settings that the login asks for or, behind a pooler, each transaction. */
export function sessionSettings(patience: PostgresPatience): SessionSettings {
  return {
    TimeZone: "UTC",
    statement_timeout: patience.statement,
    lock_timeout: patience.lock,
    // Lawful because rows and marks change in one statement: a crash of the server loses both or
    // neither. Lost rows are read from Kafka again. Waiting for the disk at every flush would cost
    // more than the flush.
    synchronous_commit: "off",
    // The server takes what asks for many addresses for costly, and compiles it each time, for
    // seconds. Statements here read few rows, by an index.
    jit: "off",
    ...(patience.isReadOnly === true ? { default_transaction_read_only: "on" } : {}),
  };
}

/**
 * True if a pooler stands between: another process answers than the login named. In transaction
 * mode the next statement may go to another server process. That one knows no setting and no
 * prepared statement of this client.
 */
export async function isPooled(sql: postgres.Sql): Promise<boolean> {
  const answer = await sql.unsafe<{ pid: number }[]>("select pg_backend_pid() as pid");
  // postgres.js keeps the process of the login with each answer, and types it as something else.
  const { pid } = answer.state as unknown as { pid: number | null };
  return answer[0]?.pid !== pid;
}

/** Runs prepared statements. They wait for one another at the server, not here. */
export function direct(sql: postgres.Sql): Run {
  return async ({ text, parameters }) =>
    parameters === null ? await sql.unsafe(text) : await sql.unsafe(text, [...parameters], { prepare: true });
}

/**
 * Runs statements behind any pooler. A transaction stays with one server process, so each statement
 * gets a transaction of its own. The settings hold in it, and are gone after it. Nothing is
 * prepared under a name. `endsConnection` is true for an error that no statement can follow.
 */
export function pooled(sql: postgres.Sql, settings: SessionSettings, endsConnection: (error: unknown) => boolean): Run {
  const locals = Object.entries(settings).map(([name, value]) => `set local ${name} = '${value}'`).join("; ");
  let last: Promise<unknown> = Promise.resolve();
  return (statement) => {
    const turn = last.then(() => inTransaction(sql, locals, statement, endsConnection));
    last = turn.catch(() => {});
    return turn;
  };
}

async function inTransaction(
  sql: postgres.Sql,
  locals: string,
  { text, parameters }: Statement,
  endsConnection: (error: unknown) => boolean,
): Promise<readonly unknown[]> {
  if (parameters === null) return await sql.unsafe(`${locals};\n${text}`);
  try {
    // Sent by itself: if it were refused, the statement would run without its settings.
    await sql.unsafe(`begin; ${locals}`);
    const rows = await sql.unsafe(text, [...parameters], { prepare: false });
    await sql.unsafe("commit");
    return rows;
  } catch (error) {
    if (!endsConnection(error)) await sql.unsafe("rollback");
    throw error;
  }
}
