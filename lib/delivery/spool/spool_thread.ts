import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import { isDamage, SpoolFile, SpoolFileError } from "./spool_file.ts";

// The thread that holds a spool file: a slow disk must not delay the checks, whose latency is
// measured.

/** A call to the thread: a method of `SpoolFile` and its arguments. */
export type SpoolCall =
  | { readonly name: "open"; readonly args: readonly [path: string, topic: string, limit: number] }
  | { readonly name: "read"; readonly args: readonly [count: number] }
  | {
    readonly name: "write";
    readonly args: readonly [documents: readonly string[], deliveredUpTo: number, out: number];
  }
  | { readonly name: "close" };

/**
 * The answer to a call; answers come in the order of the calls. A thrown error would lose its class
 * on the way.
 */
export type SpoolAnswer =
  | { readonly result: unknown }
  | { readonly failure: { readonly kind: "unusable" | "damaged" | "failed"; readonly message: string } };

const ROLE = "host-checker: keeps the spool";

/**
 * Starts the thread. Its code is this very file, which knows by `workerData` that it runs as a
 * thread; see matching/worker.ts.
 */
export function startSpoolThread(): Worker {
  return new Worker(new URL(import.meta.url), { workerData: ROLE });
}

/** Answers one call after the other, in their order. */
function serve(port: MessagePort): void {
  let file: SpoolFile | undefined;
  const answer = (call: SpoolCall): unknown => {
    if (call.name === "open") {
      const { file: opened, ...found } = SpoolFile.open(...call.args);
      file = opened;
      return found;
    }
    if (call.name === "close") return file?.[Symbol.dispose]();
    if (file === undefined) throw new TypeError("The spool file is not open");
    return call.name === "read" ? file.read(...call.args) : file.write(...call.args);
  };
  port.on("message", (call: SpoolCall) => {
    let result: SpoolAnswer;
    try {
      result = { result: answer(call) };
    } catch (error) {
      const kind = error instanceof SpoolFileError ? "unusable" : isDamage(error) ? "damaged" : "failed";
      result = { failure: { kind, message: (error as Error).message } };
    }
    port.postMessage(result);
  });
}

if (!isMainThread && workerData === ROLE && parentPort !== null) serve(parentPort);
