import { addAbortListener, once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { count } from "../../config/count.ts";
import { type EmbeddedDatabase, QueryError, QueryTookTooLong } from "../database/embedded.ts";
import { CAN_END_THREADS } from "../database/embedded_thread.ts";
import { failureOf, line, QUERY_LIMIT, type QueryAnswer, type QueryEnding, type QueryRequest } from "./messages.ts";
import { makeSocketFolder, makeSocketPrivate, removeSocketFolder, withSocketPath } from "./socket_path.ts";
import { splitStatements } from "./statements.ts";

/** Seconds after which the log says that the folder was not given back. */
const LENDING_LIMIT = QUERY_LIMIT + 5;
/** Milliseconds in which a request must come, and the most characters that it may have. */
const REQUEST_LIMIT = 5_000;
const LONGEST_REQUEST = 1_000_000;
/** Milliseconds in which the asker must take the end of an answer. */
const CLOSING_LIMIT = 5_000;
/** Programs that may ask at the same time. One is answered at a time. */
const MOST_ASKING = 16;

/** Why a query under way is given up: its program ends. */
const LEAVING = new Error("the program ends");

/** The part of a program that the server of queries needs. */
export interface QueryService {
  /** Aborts when the program is told to end. No query begins after that. */
  readonly stop: AbortSignal;
  /** Hears what a person should know, one line each. */
  readonly log: { warn(message: string): void; debug(message: string): void };
}

/**
 * Answers the queries of other programs while this one holds the folder of the database, until it
 * is disposed of. If it cannot, it says so, and the program goes on without it.
 */
export async function serveQueries(
  database: EmbeddedDatabase,
  directory: string,
  service: QueryService,
): Promise<AsyncDisposable> {
  const served = new QueryServer(database, service);
  try {
    await makeSocketFolder(directory);
    await withSocketPath(directory, (path) => served.listen(path));
    await makeSocketPrivate(directory);
  } catch (error) {
    service.log.warn(`--query has to wait until this program ends: ${(error as Error).message}`);
  }
  return {
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      await removeSocketFolder(directory).catch(() => {});
    },
  };
}

class QueryServer implements AsyncDisposable {
  readonly #database: EmbeddedDatabase;
  readonly #service: QueryService;
  readonly #server: Server;
  readonly #conversations = new Set<Promise<void>>();
  readonly #leaving = new AbortController();
  readonly #onStop: Disposable;
  /**
   * The query that was asked for last. One runs at a time, so that the messages to store wait for
   * one only.
   */
  #last: Promise<void> = Promise.resolve();

  constructor(database: EmbeddedDatabase, service: QueryService) {
    this.#database = database;
    this.#service = service;
    this.#server = createServer((socket) => {
      const conversation = this.#converse(socket).finally(() => this.#conversations.delete(conversation));
      this.#conversations.add(conversation);
    });
    // At once: the program has few seconds to store what it has, and may have to open the database
    // again for that. Whoever asked asks the database itself then.
    this.#onStop = addAbortListener(service.stop, () => this.#leave());
  }

  async listen(path: string): Promise<void> {
    this.#server.listen(path);
    await once(this.#server, "listening");
    this.#server.on("error", (error) => this.#service.log.warn(`--query is not answered: ${error.message}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#onStop[Symbol.dispose]();
    this.#leave();
    await Promise.all(this.#conversations);
  }

  #leave(): void {
    this.#leaving.abort(LEAVING);
    this.#server.close();
  }

  /** Takes the request of one program, and answers it. */
  async #converse(socket: Socket): Promise<void> {
    const gone = new AbortController();
    socket.on("error", () => {}).once("close", () => gone.abort(new Error("the one who asked is gone")));
    const ending = await this.#answer(socket, gone.signal);
    socket.end(line(ending));
    // A program that does not read on must not delay the end of this one.
    const limit = AbortSignal.any([this.#leaving.signal, AbortSignal.timeout(CLOSING_LIMIT)]);
    if (!socket.closed) await once(socket, "close", { signal: limit }).catch(() => {});
    socket.destroy();
  }

  async #answer(socket: Socket, gone: AbortSignal): Promise<QueryEnding> {
    const { stop, log } = this.#service;
    const signal = AbortSignal.any([gone, this.#leaving.signal]);
    try {
      if (this.#conversations.size > MOST_ASKING) throw new QueryError("too many programs ask at the same time");
      const statements = splitStatements(await readRequest(socket, signal));
      await this.#inTurn(async () => {
        if (stop.aborted) throw LEAVING;
        log.debug(`--query of another program: ${count(statements.length, "statement")}`);
        // A query that could not be ended must not begin in this process.
        if (!CAN_END_THREADS) return await this.#database.lend(() => this.#lendTo(socket, signal));
        await this.#database.inquire(statements, (part) => send(socket, part, signal), { signal, limit: QUERY_LIMIT });
      });
      return { ending: "done" };
    } catch (error) {
      if (stop.aborted) return { ending: "leaving" };
      if (error instanceof QueryTookTooLong) log.warn(`--query of another program: ${error.message}`);
      return { ending: "failure", failure: failureOf(error) };
    }
  }

  /**
   * Lends the folder until the connection is closed. The borrower closes it when it is done. This
   * side closes it to say that the borrower must be done.
   */
  async #lendTo(socket: Socket, signal: AbortSignal): Promise<void> {
    const complain = () =>
      this.#service.log.warn(`--query of another program does not give the folder back: end that program`);
    const timer = setTimeout(complain, LENDING_LIMIT * 1000);
    try {
      await send(socket, { lent: true }, signal);
      if (!signal.aborted) await once(signal, "abort");
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Not by `for await`, which would close the socket at its end. */
async function readRequest(socket: Socket, signal: AbortSignal): Promise<string> {
  const late = AbortSignal.timeout(REQUEST_LIMIT);
  let text = "";
  socket.setEncoding("utf8");
  while (!text.endsWith("\n") && text.length <= LONGEST_REQUEST) {
    const [chunk] = await once(socket, "data", { signal: AbortSignal.any([signal, late]) });
    text += chunk;
  }
  // Reads on, or nobody would notice that the asker is gone.
  socket.resume();
  return sqlOf(text);
}

function sqlOf(request: string): string {
  try {
    const { sql } = JSON.parse(request) as Partial<QueryRequest>;
    if (typeof sql === "string" && !sql.includes("\0")) return sql;
  } catch {
    // Said below.
  }
  throw new QueryError("the program that holds the folder does not understand what is asked of it");
}

async function send(socket: Socket, part: QueryAnswer, signal: AbortSignal): Promise<void> {
  if (!socket.write(line(part))) await once(socket, "drain", { signal });
}
