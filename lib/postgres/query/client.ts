import { addAbortListener, once } from "node:events";
import { connect, type Socket } from "node:net";
import { FolderInUse } from "../../config/folder_lock.ts";
import { QueryError, type QueryPart } from "../database/embedded.ts";
import { CAN_END_THREADS } from "../database/embedded_thread.ts";
import { errorOf, line, type QueryAnswer, wholeLines } from "./messages.ts";
import { isTrustworthy, withSocketPath } from "./socket_path.ts";

/**
 * The system's codes if nobody listens. There is no folder or no socket, or the socket is a killed
 * program's, or another user's.
 */
const NOBODY = new Set(["ENOENT", "ENOTDIR", "ECONNREFUSED", "EACCES"]);

/**
 * Asks the program that holds the folder of an embedded database, or runs `borrow` if that program
 * lends the folder. Null if none answers, or if it leaves before its answer is whole. The whole
 * answer is taken before anything is given back: a slow reader must not delay the metrics.
 */
export async function askHolder(
  directory: string,
  sql: string,
  borrow: (signal: AbortSignal) => Promise<QueryPart[]>,
  signal: AbortSignal,
): Promise<QueryPart[] | null> {
  const socket = await reach(directory, signal);
  if (socket === null) return null;
  using _leave = addAbortListener(signal, () => socket.destroy());
  try {
    const { parts, end } = await readAnswer(socket, sql);
    if ("lent" in end) return await whileOpen(socket, borrow, signal);
    if (end.ending === "failure") throw errorOf(end.failure);
    return end.ending === "done" ? parts : null;
  } finally {
    socket.destroy();
    signal.throwIfAborted();
  }
}

/** Borrows while the connection is open. Null if the lender leaves before the work is done. */
async function whileOpen(
  socket: Socket,
  borrow: (signal: AbortSignal) => Promise<QueryPart[]>,
  signal: AbortSignal,
): Promise<QueryPart[] | null> {
  const closed = new AbortController();
  const reason = new QueryError("the program that has lent the folder ends: ask again");
  socket.on("error", () => {}).once("close", () => closed.abort(reason)).resume();
  try {
    return await borrow(AbortSignal.any([signal, closed.signal]));
  } catch (error) {
    // The lender took it back first.
    if (closed.signal.aborted && (error as Error).cause instanceof FolderInUse) return null;
    // A thread that still computes has the folder open until this process ends.
    if (error === reason && CAN_END_THREADS) return null;
    throw error;
  }
}

/** True if a program holds the folder and answers queries there: it will not let go of it soon. */
export async function isAnswering(directory: string, signal: AbortSignal): Promise<boolean> {
  const socket = await reach(directory, signal);
  socket?.destroy();
  return socket !== null;
}

/** Connects to the program that holds the folder; null if nobody is there. */
async function reach(directory: string, signal: AbortSignal): Promise<Socket | null> {
  try {
    if (!await isTrustworthy(directory)) return null;
    return await withSocketPath(directory, async (path) => {
      const socket = connect(path).setEncoding("utf8");
      await once(socket, "connect", { signal });
      return socket;
    });
  } catch (error) {
    signal.throwIfAborted();
    if (NOBODY.has((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}

interface Answer {
  readonly parts: QueryPart[];
  readonly end: Exclude<QueryAnswer, QueryPart>;
}

async function readAnswer(socket: Socket, sql: string): Promise<Answer> {
  const parts: QueryPart[] = [];
  try {
    socket.write(line({ sql }));
    for await (const text of wholeLines(socket.iterator({ destroyOnReturn: false }))) {
      const answer = JSON.parse(text) as QueryAnswer;
      if ("ending" in answer || "lent" in answer) return { parts, end: answer };
      parts.push(answer);
    }
  } catch {
    // The connection broke: the other program was killed, for example.
  }
  return { parts, end: { ending: "leaving" } };
}
