import type postgres from "postgres";
import type { Parameter } from "../database.ts";

/** What is asked of the server at one time. */
export interface Statement {
  readonly text: string;
  /** Null: a script of several statements, which goes by the simple protocol: that makes one transaction of them. */
  readonly parameters: readonly Parameter[] | null;
}

/** Runs a statement on a connection, after those that were given before it. */
export type Run = (statement: Statement) => Promise<Iterable<unknown>>;

/** Name → value of what the server is to hold while a statement runs. */
export type SessionSettings = Readonly<Record<string, string | number>>;

/**
 * True where a pooler stands between: the process that the login named is not the one that answers.
 * In transaction mode the next statement may go to another server process, which knows no setting
 * and no prepared statement of this client.
 */
export async function isPooled(sql: postgres.Sql): Promise<boolean> {
  const answer = await sql.unsafe<{ pid: number }[]>("select pg_backend_pid() as pid");
  // postgres.js keeps the process of the login with each answer, and types it as something else.
  const { pid } = answer.state as unknown as { pid: number | null };
  return answer[0]?.pid !== pid;
}

/** Statements are prepared, and wait for one another at the server, not here. */
export function direct(sql: postgres.Sql): Run {
  return async ({ text, parameters }) =>
    parameters === null ? await sql.unsafe(text) : await sql.unsafe(text, [...parameters], { prepare: true });
}

/**
 * What holds behind any pooler: a transaction stays with one server process, so each statement gets
 * one of its own, in which the settings hold and after which they are gone. Nothing is prepared
 * under a name. `endsConnection`: no word can follow it.
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
): Promise<Iterable<unknown>> {
  if (parameters === null) return await sql.unsafe(`${locals};\n${text}`);
  try {
    // On its own: were it refused, the statement would run without its settings.
    await sql.unsafe(`begin; ${locals}`);
    const rows = await sql.unsafe(text, [...parameters], { prepare: false });
    await sql.unsafe("commit");
    return rows;
  } catch (error) {
    if (!endsConnection(error)) await sql.unsafe("rollback");
    throw error;
  }
}
