import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { patternsOf } from "../../hosts/pattern.ts";
import { textOf, type UnknownCharset } from "./text.ts";

/** A body to match. */
export interface MatchQuestion {
  /** The pattern in RE2 syntax. */
  readonly source: string;
  /**
   * The body alone, which is transferred to the worker. It is no Uint8Array: Deno looks at each
   * element of one for things to transfer. That takes 60 ms of CPU a MiB.
   */
  readonly bytes: ArrayBuffer;
  readonly contentType: string | null;
}

/** First that the worker has begun. Then whether the pattern matches, or why that is unknown. */
export type Message = "begun" | boolean | UnknownCharset;

const ROLE = "host-checker: matches bodies";

/**
 * Starts a worker that answers each `MatchQuestion` with "begun" and then the answer. Its code is
 * this very file, which recognises its role by `workerData`. So it is found where all files have
 * been bundled into one, too. (`file` is for tests.)
 */
export function startWorker(file: string = import.meta.url): Worker {
  return new Worker(new URL(file), { workerData: ROLE });
}

function serve(port: NonNullable<typeof parentPort>): void {
  const patternOf = patternsOf();
  port.on("message", async ({ source, bytes, contentType }: MatchQuestion) => {
    port.postMessage("begun" satisfies Message);
    const text = await textOf(new Uint8Array(bytes), contentType);
    // Given back at once: the collector would let dozens of MiB gather.
    bytes.transfer(0);
    port.postMessage((typeof text === "string" ? patternOf(source).test(text) : text) satisfies Message);
  });
}

if (!isMainThread && workerData === ROLE && parentPort !== null) serve(parentPort);
