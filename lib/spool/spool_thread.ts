import { type MessagePort, parentPort } from "node:worker_threads";
import { isDamage, SpoolFile, SpoolFileError } from "./spool_file.ts";
import type { Answer, Call } from "./thread_file.ts";

// The thread that holds a spool file: a slow disk must not hold up the checks, whose latency is being measured.

/** Answers one call after the other, in the order in which they come. */
function serve(port: MessagePort): void {
  let file: SpoolFile | undefined;
  const answer = (call: Call): unknown => {
    if (call.name === "open") {
      const { file: opened, ...found } = SpoolFile.open(...call.args);
      file = opened;
      return found;
    }
    if (call.name === "close") return file?.[Symbol.dispose]();
    if (file === undefined) throw new TypeError("The spool file is not open");
    return call.name === "read" ? file.read(...call.args) : file.write(...call.args);
  };
  port.on("message", (call: Call) => {
    let result: Answer;
    try {
      result = { result: answer(call) };
    } catch (error) {
      const kind = error instanceof SpoolFileError ? "unusable" : isDamage(error) ? "damaged" : "failed";
      result = { failure: { kind, message: (error as Error).message } };
    }
    port.postMessage(result);
  });
}

if (parentPort !== null) serve(parentPort);
