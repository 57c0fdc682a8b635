import type { Socket } from "node:net";
import postgres from "postgres";
import { saslPrep } from "../../config/saslprep.ts";
import { isConnectionLoss, SetupError, sqlFailure } from "../database.ts";
import { poolerSaying } from "./pooler.ts";
import { openSocket, type PostgresAddress, SETTINGS_OF_PLACE } from "./postgres_socket.ts";
import { followLastWords, whenAskedForSasl } from "./server_messages.ts";
import {
  direct,
  isPooled,
  pooled,
  type PostgresPatience,
  type Run,
  sessionSettings,
  type Statement,
} from "./session.ts";

/** How to reach a database on a PostgreSQL server. */
export interface PostgresSettings extends PostgresAddress {
  readonly name: string;
  readonly user: string;
  readonly password: string | null;
}

/**
 * After any of these failures a connection cannot be trusted: postgres.js may give the next
 * statement the old one's failure.
 */
export function endsConnection(error: unknown): boolean {
  const failure = sqlFailure(error);
  return failure === null || isConnectionLoss(error) || /^(08|25|26|28|3D|42P05|53300|57P|XX)/.test(failure.code);
}

/**
 * One connection, used until it is lost. postgres.js would mend it, but then sometimes leaves a
 * statement unsettled.
 */
export class PostgresConnection {
  readonly #abort = new AbortController();
  readonly #patience: PostgresPatience;
  readonly #where: string;
  readonly #isBare: boolean;
  readonly #sql: postgres.Sql;
  #socket: Socket | null = null;
  #lastWords: () => Error | null = () => null;
  #run: Promise<Run> | null = null;
  /** Null until the server has answered. */
  #isPooled: boolean | null = null;
  #asksForSasl = false;
  #asksForPassword = false;
  readonly #password: string | null;

  /**
   * `isBare`: the login sends no settings of the session, only its `application_name`. A pooler may
   * refuse a login with settings.
   */
  constructor(settings: PostgresSettings, patience: PostgresPatience, isBare: boolean) {
    this.#patience = patience;
    this.#where = `PostgreSQL at ${settings.host}:${settings.port} ${SETTINGS_OF_PLACE}`;
    this.#isBare = isBare;
    // Other ways to log in take a password as it is.
    const password = (text: string) => {
      this.#asksForPassword = true;
      return this.#asksForSasl ? saslPrep(text) : text;
    };
    this.#password = settings.password;
    const socket = () => this.#open(settings);
    this.#sql = postgres(clientOptions(settings, patience, { isBare, socket, password }));
  }

  get isLost(): boolean {
    return this.#abort.signal.aborted;
  }

  get isPooled(): boolean {
    return this.#isPooled === true;
  }

  /** True if the login failed because of its settings of the session. */
  isRefusedSettings(error: unknown): boolean {
    if (this.#isBare || this.#isPooled !== null) return false;
    const names = Object.keys(sessionSettings(this.#patience)).join("|");
    return new RegExp(`startup (parameter|option)|command-line option|${names}`, "i").test(
      sqlFailure(error)?.message ?? "",
    );
  }

  /**
   * Gives the statement's rows, its failure, or that of the connection; at the latest at the time
   * limit.
   */
  async answerTo(statement: Statement): Promise<unknown[]> {
    const { promise: overdue, reject } = Promise.withResolvers<never>();
    const late = () => reject(this.#silence(this.#patience.answer, "ETIMEDOUT"));
    const timer = setTimeout(late, this.#patience.answer);
    try {
      return await Promise.race([this.#answerTo(statement), overdue]);
    } catch (error) {
      throw this.#forgottenPassword(error) ?? this.#toldInFull(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #answerTo(statement: Statement): Promise<unknown[]> {
    const run = await (this.#run ??= this.#begin());
    const rows = await run(statement);
    // Where the statement before failed in the middle of its rows, postgres.js leaves as many holes
    // in front of these. A filter passes holes over.
    return rows.filter(() => true);
  }

  /** Sends the first statement on the connection: it tells how the connection is to be used. */
  async #begin(): Promise<Run> {
    try {
      this.#isPooled = await isPooled(this.#sql);
    } catch (error) {
      // Nobody could use this connection: the next statement begins anew.
      this.destroy();
      throw error;
    }
    if (!this.#isPooled && !this.#isBare) return direct(this.#sql);
    // A program that freezes before its commit would keep its locks from all others.
    const settings = { ...sessionSettings(this.#patience), idle_in_transaction_session_timeout: this.#patience.lock };
    return pooled(this.#sql, settings, endsConnection);
  }

  async #open(settings: PostgresSettings): Promise<Socket> {
    const timeout = AbortSignal.timeout(this.#patience.connect);
    try {
      const socket = await openSocket(settings, AbortSignal.any([this.#abort.signal, timeout]));
      socket.once("close", () => this.destroy());
      this.#lastWords = followLastWords(socket);
      whenAskedForSasl(socket, () => this.#asksForSasl = true);
      return this.#socket = socket;
    } catch (error) {
      if (this.isLost) throw Object.assign(new Error("The connection was lost"), { code: "CONNECTION_CLOSED" });
      throw timeout.aborted ? this.#silence(this.#patience.connect, "CONNECT_TIMEOUT", error) : error;
    }
  }

  #silence(milliseconds: number, code: string, cause?: unknown): Error {
    const message = `${this.#where} did not answer within ${milliseconds / 1000} seconds`;
    return Object.assign(new Error(message, { cause }), { code });
  }

  /**
   * A password that nobody has set reads like a wrong one in the server's words. Null: the failure
   * has another reason.
   */
  #forgottenPassword(error: unknown): SetupError | null {
    if (!this.#asksForPassword || this.#isPooled !== null) return null;
    if (this.#password !== null && !this.#password.startsWith(MADE_UP)) return null;
    const failure = sqlFailure(error);
    const saying = failure === null ? null : poolerSaying(failure);
    if (failure?.code.startsWith("28") !== true && saying?.remedy !== "setup") return null;
    return new SetupError(`${this.#password === null ? NO_PASSWORD : MADE_UP_PASSWORD} (${failure?.message})`, {
      cause: error,
    });
  }

  /** Names place and reason of a lost connection: postgres.js and the system name neither. */
  #toldInFull(error: unknown): unknown {
    if (!isConnectionLoss(error) || (error as Error).message.includes(SETTINGS_OF_PLACE)) return error;
    const words = this.#lastWords();
    // Any other error belongs to one statement, and not to those that waited behind it.
    if (words !== null && endsConnection(words)) return words;
    const { code = "" } = error as NodeJS.ErrnoException;
    const what = code === "CONNECT_TIMEOUT"
      ? `${this.#where} took the connection, but not the login, within ${
        this.#patience.connect / 1000
      } seconds: is a ` +
        `pooler there whose server is away, or another program?`
      : `The connection to ${this.#where} was lost${code.startsWith("CONNECTION_") ? "" : `: ${code}`}`;
    return Object.assign(new Error(what, { cause: error }), { code });
  }

  async close(): Promise<void> {
    if (!this.isLost) await this.#sql.end({ timeout: 1 });
    this.destroy();
  }

  destroy(): void {
    if (this.isLost) return;
    this.#abort.abort();
    // Deliberately not awaited: it waits for a server that may never say another word. Statements
    // under way are rejected.
    void this.#sql.end({ timeout: 0 });
    this.#socket?.destroy();
  }
}

/** The beginning of the password that the Makefile makes up for its own PostgreSQL. */
const MADE_UP = "made-by-make-config-";
const NO_PASSWORD =
  "PostgreSQL asks for a password, and none is set: put it into DB_PASSWORD, or name a file that holds it in " +
  "DB_PASSWORD_FILE (--db-password-file)";
const MADE_UP_PASSWORD =
  "PostgreSQL refuses the password that make config made up: put the role's own into secrets/db_password";

/**
 * Names everything that postgres.js would otherwise look up in PG… variables: only the settings
 * count.
 */
function clientOptions(
  settings: PostgresSettings,
  patience: PostgresPatience,
  { isBare, socket, password }: { isBare: boolean; socket: () => Promise<Socket>; password: (text: string) => string },
): postgres.Options<Record<never, never>> {
  const options = {
    // As lists: in a text postgres.js would look for several hosts.
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
    connection: { application_name: "host-checker", ...(isBare ? {} : sessionSettings(patience)) },
  };
  return options;
}
