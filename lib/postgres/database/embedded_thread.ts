import type { PGlite } from "@electric-sql/pglite";
import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import type { Parameter } from "../database.ts";
import { ReadOnlyInquiry } from "./inquiry.ts";

// PGlite works on a thread of its own. A statement under way answers no signal: only the end of its
// thread ends it.

/** PGlite's own folder in the given one. */
const FINISHED = "postgres";

/** True if an embedded database is kept in `directory`. */
export async function isKeptIn(directory: string): Promise<boolean> {
  return await exists(join(directory, FINISHED));
}

/**
 * The work of the thread. Its methods are called from outside, one after the other, by
 * `EmbeddedThread.call`.
 */
class EmbeddedWork {
  #create: ((directory: string) => Promise<PGlite>) | undefined;
  #postgres: PGlite | undefined;
  #inquiry: ReadOnlyInquiry | undefined;

  /**
   * Loads PGlite: 30 MB of code and data. A consumer with a server does without it, and a bundle
   * leaves it out.
   */
  async load(): Promise<void> {
    const { PGlite } = await import("@electric-sql/pglite");
    this.#create = (directory) => PGlite.create(directory);
  }

  /**
   * PGlite takes any folder that it finds for a finished one. So a new folder gets its name only
   * when it is finished: a kill may come before.
   */
  async open(directory: string): Promise<void> {
    const create = present(this.#create);
    const finished = join(directory, FINISHED);
    if (!await exists(finished)) {
      const unfinished = join(directory, `${FINISHED}.new`);
      await rm(unfinished, { recursive: true, force: true });
      await (await create(unfinished)).close();
      await rename(unfinished, finished);
    }
    this.#postgres = await create(finished);
    exposeFaults(this.#postgres);
    this.#inquiry = new ReadOnlyInquiry(this.#postgres);
  }

  async query(text: string, parameters: readonly Parameter[]): Promise<object[]> {
    return (await present(this.#postgres).query<object>(text, [...parameters])).rows;
  }

  async script(text: string): Promise<void> {
    await present(this.#postgres).exec(text);
  }

  // See ReadOnlyInquiry.
  begin = () => present(this.#inquiry).begin();
  describe = (statement: string) => present(this.#inquiry).describe(statement);
  run = (statement: string) => present(this.#inquiry).run(statement);
  fetch = () => present(this.#inquiry).fetch();
  end = () => present(this.#inquiry).end();

  async close(): Promise<void> {
    await this.#postgres?.close();
  }
}

/** The status with which PGlite leaves a statement that PostgreSQL has refused. */
const REFUSED = 100;

/**
 * Makes statements fail that an exception of the runtime has cut off, such as an exhausted stack.
 * PGlite hides such exceptions, and answers nothing. PostgreSQL was not rolled back then: a further
 * message would commit half a statement. So PostgreSQL gets none, and its thread must end.
 */
function exposeFaults({ Module: postgres }: PGlite): void {
  const proceed = postgres._PostgresMainLoopOnce;
  let fault: { readonly status: number } | undefined;
  postgres._PostgresMainLoopOnce = () => {
    if (fault !== undefined) throw fault;
    try {
      proceed();
    } catch (error) {
      if ((error as { readonly status?: unknown } | null)?.status === REFUSED) throw error;
      const failure = faultOf(error);
      fault = {
        // PGlite reads the status of whatever it catches: this leads out of its endless loop.
        get status(): number {
          throw failure;
        },
      };
      throw fault;
    }
  };
}

/**
 * A server says the same: that a statement is too deep (54001), which may be a row's fault, or that
 * it crashed (57P02), which passes. The severity says that the database must be opened again.
 */
function faultOf(cause: unknown): Error {
  const [code, message] = cause instanceof RangeError
    ? ["54001", "stack depth limit exceeded"]
    : ["57P02", `the embedded database crashed: ${cause instanceof Error ? cause.message : String(cause)}`];
  return Object.assign(new Error(message, { cause }), { code, severity: "FATAL" });
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("The embedded database is not open");
  return value;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (!["ENOENT", "ENOTDIR"].includes(code)) throw error;
    return false;
  }
}

type Work = { readonly [N in keyof EmbeddedWork]: EmbeddedWork[N] };
type WorkCall = { readonly name: keyof Work; readonly args: readonly unknown[] };
type WorkAnswer = { readonly result: unknown } | { readonly failure: FailureOnItsWay };

/**
 * An error would lose its class and its fields on the way. The fields that people are told of are
 * kept.
 */
interface FailureOnItsWay {
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

const FIELDS = [
  "name",
  "code",
  "severity",
  "detail",
  "hint",
  "position",
  "schema",
  "table",
  "column",
  "constraint",
  "routine",
];

function pack(error: unknown): FailureOnItsWay {
  const source = Object(error) as Readonly<Record<string, unknown>>;
  const fields = FIELDS.flatMap((name) => typeof source[name] === "string" ? [[name, source[name]]] : []);
  return { message: error instanceof Error ? error.message : String(error), fields: Object.fromEntries(fields) };
}

function unpack({ message, fields }: FailureOnItsWay): Error {
  return Object.assign(new Error(message), fields);
}

/**
 * True if a thread that computes can be ended. Under Deno (2.9) it goes on for as long as the
 * process lives.
 */
export const CAN_END_THREADS = !("Deno" in globalThis);

const ROLE = "host-checker: works on the embedded database";

/** The thread of an embedded database, as seen from outside. */
export class EmbeddedThread {
  // The thread's code is this very file, which knows by `workerData` that it runs as a thread; see
  // matching/worker.ts.
  readonly #worker = new Worker(new URL(import.meta.url), { workerData: ROLE });
  readonly #calls: PromiseWithResolvers<unknown>[] = [];
  #broken: Error | undefined;

  constructor() {
    this.#worker.on("message", (answer: WorkAnswer) => this.#hear(answer));
    this.#worker.on("error", (error) => this.#break(error));
    this.#worker.on("exit", () => this.#break(new Error("the thread of the embedded database ended")));
  }

  /**
   * True after the end of the thread, and after a failure that is not a statement's: nobody knows
   * its state then.
   */
  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** True while it has not answered a call. */
  get isBusy(): boolean {
    return this.#calls.length > 0;
  }

  /** Makes a call. Calls are carried out in their order. */
  async call<N extends keyof Work>(
    name: N,
    ...args: Parameters<Work[N]>
  ): Promise<Awaited<ReturnType<Work[N]>>> {
    if (this.#broken !== undefined) throw this.#broken;
    const waiting = Promise.withResolvers<unknown>();
    this.#worker.postMessage({ name, args } satisfies WorkCall);
    this.#calls.push(waiting);
    return await waiting.promise as Awaited<ReturnType<Work[N]>>;
  }

  /**
   * Ends the thread, whatever it does, if that is possible. To the files this is like a `kill -9`.
   */
  async end(): Promise<void> {
    this.#break(new Error("the thread of the embedded database was ended"));
    await this.#worker.terminate();
  }

  #hear(answer: WorkAnswer): void {
    const waiting = this.#calls.shift();
    if ("result" in answer) return waiting?.resolve(answer.result);
    const error = unpack(answer.failure);
    waiting?.reject(error);
    if (answer.failure.fields.severity !== "ERROR") this.#break(error);
  }

  #break(error: Error): void {
    this.#broken ??= error;
    for (const waiting of this.#calls.splice(0)) waiting.reject(this.#broken);
  }
}

/** Answers one call after the other, in their order. */
function serve(port: MessagePort): void {
  const work = new EmbeddedWork();
  const answer = async ({ name, args }: WorkCall): Promise<WorkAnswer> => {
    try {
      return { result: await (work[name] as (...args: readonly unknown[]) => unknown).apply(work, [...args]) };
    } catch (error) {
      return { failure: pack(error) };
    }
  };
  let last: Promise<void> = Promise.resolve();
  port.on("message", (call: WorkCall) => {
    last = last.then(async () => port.postMessage(await answer(call)));
  });
}

if (!isMainThread && workerData === ROLE && parentPort !== null) serve(parentPort);
