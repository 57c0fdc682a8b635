import type { Database, Parameter } from "../database.ts";
import { endsConnection, PostgresConnection, type PostgresSettings } from "./postgres_connection.ts";
import type { PostgresPatience, Statement } from "./session.ts";

const PATIENCE: PostgresPatience = { answer: 35_000, connect: 10_000, statement: 30_000, lock: 10_000 };

/**
 * A database on a PostgreSQL server. It connects with the first statement, and anew after a
 * connection was lost. All statements go over one connection, in their order.
 */
export function openPostgres(settings: PostgresSettings, patience: PostgresPatience = PATIENCE): Database {
  return new PostgresDatabase(settings, patience);
}

class PostgresDatabase implements Database {
  readonly #settings: PostgresSettings;
  readonly #patience: PostgresPatience;
  #connection: PostgresConnection | null = null;
  /** True once something in between refused the settings of a session. */
  #isBare = false;
  #closed = false;

  constructor(settings: PostgresSettings, patience: PostgresPatience) {
    this.#settings = settings;
    this.#patience = patience;
  }

  get remark(): string | null {
    return this.#connection?.isPooled === true ? POOLED : null;
  }

  query<R extends object>(text: string, parameters: readonly Parameter[] = []): Promise<R[]> {
    return this.#run<R>({ text, parameters });
  }

  async script(text: string): Promise<void> {
    await this.#run({ text, parameters: null });
  }

  async #run<R extends object>(statement: Statement): Promise<R[]> {
    if (this.#closed) throw new TypeError("The database has been closed: open it again");
    const connection = this.#current();
    try {
      return await connection.answerTo(statement) as R[];
    } catch (error) {
      const isRefused = connection.isRefusedSettings(error);
      if (isRefused || endsConnection(error)) connection.destroy();
      if (!isRefused) throw error;
    }
    this.#isBare = true;
    return await this.#run(statement);
  }

  #current(): PostgresConnection {
    if (this.#connection !== null && !this.#connection.isLost) return this.#connection;
    return this.#connection = new PostgresConnection(this.#settings, this.#patience, this.#isBare);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#connection?.close();
  }
}

const POOLED = "A connection pooler stands in front of PostgreSQL: each statement goes to it unprepared, in a " +
  "transaction of its own that has the consumer's time limits, which takes three more round trips";
