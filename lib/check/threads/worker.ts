import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { WorkerSettings } from "./messages.ts";

const ROLE = "host-checker: makes checks";

/**
 * The memory of a worker for new objects, in MiB. While it is cleared no answer is read, and that
 * takes as long as much of it is in use.
 */
const NURSERY = 6;

/**
 * Starts a worker that makes checks. Its code is this very file, which recognises its role; see
 * matching/worker.ts. What a check needs is loaded in the worker alone.
 */
export function startCheckWorker(settings: WorkerSettings): Worker {
  return new Worker(new URL(import.meta.url), {
    workerData: { role: ROLE, settings },
    resourceLimits: { maxYoungGenerationSizeMb: NURSERY },
  });
}

if (!isMainThread && workerData?.role === ROLE && parentPort !== null) {
  const [port, { settings }] = [parentPort, workerData as { readonly settings: WorkerSettings }];
  // A failure to load ends the worker, and its owner hears of that.
  void import("./serve.ts").then(({ serve }) => serve(port, settings));
}
