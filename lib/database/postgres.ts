import type { Socket } from "node:net";
import postgres from "postgres";
import { type Database, isConnectionLoss, type Parameter, sqlFailure } from "../database.ts";
import { saslPrep } from "../saslprep.ts";
import { openSocket, type PostgresAddress, whenAskedForSasl } from "./postgres_socket.ts";

/** How to reach a database on a PostgreSQL server. */
export interface PostgresSettings extends PostgresAddress {
  readonly name: string;
  readonly user: string;
  readonly password: string | null;
}

/** How long to wait, in milliseconds. */
export interface PostgresPatience {
  /** For a statement and, where there is none yet, the connection. Then the connection is thrown away. */
  readonly answer: number;
  /** For a connection. */
  readonly connect: number;
  /** The server gives up a statement by itself; less than `answer`, so that its own word comes first. */
  readonly statement: number;
  /** The server gives up waiting for a row that somebody else holds. */
  readonly lock: number;
}

const PATIENCE: PostgresPatience = { answer: 35_000, connect: 10_000, statement: 30_000, lock: 10_000 };

/**
 * A database on a PostgreSQL server. Connects with the first statement, and anew after a connection was lost; all
 * statements go over one connection, in the order in which they were given.
 */
export function openPostgres(settings: PostgresSettings, patience: PostgresPatience = PATIENCE): Database {
  return new PostgresDatabase(settings, patience);
}

class PostgresDatabase implements Database {
  readonly #settings: PostgresSettings;
  readonly #patience: PostgresPatience;
  #connection: PostgresConnection | null = null;
  #closed = false;

  constructor(settings: PostgresSettings, patience: PostgresPatience) {
    this.#settings = settings;
    this.#patience = patience;
  }

  query<R extends object>(text: string, parameters: readonly Parameter[] = []): Promise<R[]> {
    return this.#run<R>((sql) => sql.unsafe(text, [...parameters], { prepare: true }));
  }

  async script(text: string): Promise<void> {
    // Without parameters it goes by the simple protocol, which makes one transaction of all statements in the text.
    await this.#run((sql) => sql.unsafe(text));
  }

  async #run<R extends object>(statement: (sql: postgres.Sql) => Promise<unknown>): Promise<R[]> {
    if (this.#closed) throw new TypeError("The database has been closed: open it again");
    if (this.#connection?.isLost !== false) this.#connection = new PostgresConnection(this.#settings, this.#patience);
    const connection = this.#connection;
    try {
      return [...await connection.answerTo(statement)] as R[];
    } catch (error) {
      if (endsConnection(error)) connection.destroy();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#connection?.close();
  }
}

/** After any of these a connection is not to be trusted: postgres.js may give the next statement the old one's failure. */
function endsConnection(error: unknown): boolean {
  const failure = sqlFailure(error);
  return failure === null || isConnectionLoss(error) || /^(08|25|26|28|3D|53300|57P)/.test(failure.code);
}

/** One connection, used until it is lost. postgres.js would mend it, but now and then leaves a statement unsettled then. */
class PostgresConnection {
  readonly #abort = new AbortController();
  readonly #patience: PostgresPatience;
  readonly #where: string;
  readonly #sql: postgres.Sql;
  #socket: Socket | null = null;
  #asksForSasl = false;

  constructor(settings: PostgresSettings, patience: PostgresPatience) {
    this.#patience = patience;
    this.#where = `${settings.host}:${settings.port}`;
    // The other ways to log in take a password as it is.
    const password = (text: string) => this.#asksForSasl ? saslPrep(text) : text;
    this.#sql = postgres(clientOptions(settings, patience, { socket: () => this.#open(settings), password }));
  }

  get isLost(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The statement's rows, or its failure, or that of the connection; at the latest when patience is at its end. */
  async answerTo(statement: (sql: postgres.Sql) => Promise<unknown>): Promise<Iterable<unknown>> {
    const { promise: overdue, reject } = Promise.withResolvers<never>();
    const message = `PostgreSQL at ${this.#where} did not answer within ${this.#patience.answer / 1000} seconds`;
    const late = () => reject(Object.assign(new Error(message), { code: "ETIMEDOUT" }));
    const timer = setTimeout(late, this.#patience.answer);
    try {
      return await Promise.race([statement(this.#sql), overdue]) as Iterable<unknown>;
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(settings: PostgresSettings): Promise<Socket> {
    const timeout = AbortSignal.timeout(this.#patience.connect);
    try {
      const socket = await openSocket(settings, AbortSignal.any([this.#abort.signal, timeout]));
      socket.once("close", () => this.destroy());
      whenAskedForSasl(socket, () => this.#asksForSasl = true);
      return this.#socket = socket;
    } catch (error) {
      if (this.isLost) throw Object.assign(new Error("The connection was lost"), { code: "CONNECTION_CLOSED" });
      if (!timeout.aborted) throw error;
      const message = `PostgreSQL at ${this.#where} did not answer within ${this.#patience.connect / 1000} seconds`;
      throw Object.assign(new Error(message, { cause: error }), { code: "CONNECT_TIMEOUT" });
    }
  }

  async close(): Promise<void> {
    if (!this.isLost) await this.#sql.end({ timeout: 1 });
    this.destroy();
  }

  destroy(): void {
    if (this.isLost) return;
    this.#abort.abort();
    // Deliberately not awaited: it waits for a server that may never say another word. Statements under way are rejected.
    void this.#sql.end({ timeout: 0 });
    this.#socket?.destroy();
  }
}

/** Names what postgres.js would else look up in PG… variables: the settings are all there is. */
function clientOptions(
  settings: PostgresSettings,
  patience: PostgresPatience,
  { socket, password }: { socket: () => Promise<Socket>; password: (text: string) => string },
): postgres.Options<Record<never, never>> {
  const options = {
    // Lists: in a text postgres.js would look for several hosts.
    host: [settings.host] as unknown as string,
    port: [settings.port] as unknown as number,
    database: settings.name,
    user: settings.user,
    pass: () => password(settings.password ?? ""),
    ssl: false,
    socket,
    max: 1,
    connect_timeout: patience.connect / 1000,
    idle_timeout: 0,
    max_lifetime: null,
    fetch_types: false,
    prepare: true,
    debug: false,
    keep_alive: 60,
    backoff: false,
    onnotice: () => {},
    connection: {
      application_name: "host-checker",
      TimeZone: "UTC",
      statement_timeout: patience.statement,
      lock_timeout: patience.lock,
      // Lawful because rows and marks change in one statement: a crash of the server loses both or neither, and what is
      // lost is read from Kafka again. Waiting for the disk at every flush would cost more than the flush.
      synchronous_commit: "off",
    },
  };
  return options;
}
