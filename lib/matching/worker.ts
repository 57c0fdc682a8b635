import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { compilePattern, type Pattern } from "../pattern.ts";
import { textOf, type UnknownCharset } from "./text.ts";

/** A body to match. */
export interface Question {
  /** Of the pattern, in RE2 syntax. */
  readonly source: string;
  /** Alone in its buffer, which goes over to the worker. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string | null;
}

/** Whether the pattern matches, or why nobody can tell. */
export type Answer = boolean | UnknownCharset;

const ROLE = "host-checker: matches bodies";
/** Patterns that stay compiled in a worker: those in use, and no more than some MB of them. */
const MOST_COMPILED = 200;

/**
 * Starts a worker that answers each `Question` with an `Answer`. Its code is this very file, which knows by `workerData` that it
 * runs as one: so it is found as well where all files have been bundled into one, which a path of its own would not be. (`file` is for tests.)
 */
export function startWorker(file: string = import.meta.url): Worker {
  return new Worker(new URL(file), { workerData: ROLE });
}

function serve(port: NonNullable<typeof parentPort>): void {
  const patterns = new Map<string, Pattern>();
  port.on("message", async ({ source, bytes, contentType }: Question) => {
    const pattern = patterns.get(source) ?? compilePattern(source);
    // Deleted first, a pattern in use moves to the end: the first one is the one that was not used for longest.
    patterns.delete(source);
    patterns.set(source, pattern);
    if (patterns.size > MOST_COMPILED) patterns.delete(patterns.keys().next().value as string);
    const text = await textOf(bytes, contentType);
    port.postMessage((typeof text === "string" ? pattern.test(text) : text) satisfies Answer);
  });
}

if (!isMainThread && workerData === ROLE && parentPort !== null) serve(parentPort);
