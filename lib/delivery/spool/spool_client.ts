import { delay } from "../../async/waits.ts";
import { type OpenedSpool, type ReadSpool, SpoolFileError, type WrittenSpool } from "./spool_file.ts";
import { type SpoolAnswer, type SpoolCall, startSpoolThread } from "./spool_thread.ts";

/** This run can no longer use the file: it is broken, or its thread is gone. */
export class BrokenSpoolError extends Error {
  override name = "BrokenSpoolError";
}

/** Milliseconds that closing may take: a disk that hangs must not delay the end. */
const CLOSE_LIMIT = 1_000;

/** A `SpoolFile` on a thread of its own. Calls are carried out in their order. */
export class SpoolClient implements AsyncDisposable {
  readonly #worker = startSpoolThread();
  readonly #calls: PromiseWithResolvers<unknown>[] = [];
  #broken: BrokenSpoolError | undefined;

  private constructor() {
    this.#worker.on("message", (answer: SpoolAnswer) => this.#hear(answer));
    this.#worker.on("error", (error) => this.#break(error));
    this.#worker.on("exit", () => this.#break(new Error("it ended")));
  }

  /** See `SpoolFile.open`. */
  static async open(
    ...args: readonly [path: string, topic: string, limit: number]
  ): Promise<{ file: SpoolClient } & OpenedSpool> {
    const file = new SpoolClient();
    try {
      return { file, ...await file.#call({ name: "open", args }) as OpenedSpool };
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** See `SpoolFile.read`. */
  async read(count: number): Promise<ReadSpool> {
    return await this.#call({ name: "read", args: [count] }) as ReadSpool;
  }

  /** See `SpoolFile.write`. */
  async write(documents: readonly string[], deliveredUpTo: number, out: number): Promise<WrittenSpool> {
    return await this.#call({ name: "write", args: [documents, deliveredUpTo, out] }) as WrittenSpool;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const limit = new AbortController();
    const late = delay(CLOSE_LIMIT, limit.signal);
    await Promise.race([this.#call({ name: "close" }).catch(() => {}), late]);
    limit.abort();
    await this.#worker.terminate();
  }

  #call(call: SpoolCall): Promise<unknown> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    const waiting = Promise.withResolvers<unknown>();
    this.#calls.push(waiting);
    this.#worker.postMessage(call);
    return waiting.promise;
  }

  #hear(answer: SpoolAnswer): void {
    const waiting = this.#calls.shift();
    if ("result" in answer) return waiting?.resolve(answer.result);
    const { kind, message } = answer.failure;
    const classes = { unusable: SpoolFileError, damaged: BrokenSpoolError, failed: Error } as const;
    waiting?.reject(new classes[kind](message));
  }

  #break(error: Error): void {
    this.#broken ??= new BrokenSpoolError(`the thread that writes it failed: ${error.message}`);
    for (const waiting of this.#calls.splice(0)) waiting.reject(this.#broken);
  }
}
