import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { patternsOf } from "../../hosts/pattern.ts";
import { textOf, type UnknownCharset } from "./text.ts";

/** A body to match. */
export interface MatchQuestion {
  /** Of the pattern, in RE2 syntax. */
  readonly source: string;
  /**
   * The body alone, which goes over to the worker. No Uint8Array: Deno looks at each of its
   * elements for what may be transferred, which takes 60 ms of CPU a MiB.
   */
  readonly bytes: ArrayBuffer;
  readonly contentType: string | null;
}

/** Whether the pattern matches, or why nobody can tell; and before that, that the worker has begun. */
export type Message = "begun" | boolean | UnknownCharset;

const ROLE = "host-checker: matches bodies";

/**
 * Starts a worker that answers each `Question` with "begun" and the answer. Its code is this very
 * file, which knows by `workerData` that it runs as one: so it is found as well where all files
 * have been bundled into one, which a path of its own would not be. (`file` is for tests.)
 */
export function startWorker(file: string = import.meta.url): Worker {
  return new Worker(new URL(file), { workerData: ROLE });
}

function serve(port: NonNullable<typeof parentPort>): void {
  const patternOf = patternsOf();
  port.on("message", async ({ source, bytes, contentType }: MatchQuestion) => {
    port.postMessage("begun" satisfies Message);
    const text = await textOf(new Uint8Array(bytes), contentType);
    port.postMessage((typeof text === "string" ? patternOf(source).test(text) : text) satisfies Message);
  });
}

if (!isMainThread && workerData === ROLE && parentPort !== null) serve(parentPort);
