import type { PGlite } from "@electric-sql/pglite";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Database, type Parameter, SetupError } from "../database.ts";
import { lockFolder } from "../folder_lock.ts";

/**
 * Opens the embedded PostgreSQL that keeps its rows in `directory`, which is made where it is missing. Throws `SetupError`
 * where another program has it open. Statements wait for one another and know no deadline.
 */
export async function openEmbedded(directory: string): Promise<Database> {
  await mkdir(directory, { recursive: true });
  const lock = take(directory);
  try {
    return new EmbeddedDatabase(await open(directory), lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

function take(directory: string): Disposable {
  try {
    return lockFolder(directory);
  } catch (error) {
    throw new SetupError((error as Error).message, { cause: error });
  }
}

/** PGlite takes any folder it finds for a finished one, so a new one gets its name when it is finished: a kill may come in between. */
async function open(directory: string): Promise<PGlite> {
  // Read when it is needed: it is 30 MB of code and data that a consumer with a server does without.
  const { PGlite } = await import("@electric-sql/pglite");
  const finished = join(directory, "postgres");
  if (!await exists(finished)) {
    const unfinished = join(directory, "postgres.new");
    await rm(unfinished, { recursive: true, force: true });
    await (await PGlite.create(unfinished)).close();
    await rename(unfinished, finished);
  }
  return await PGlite.create(finished);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return false;
  }
}

class EmbeddedDatabase implements Database {
  readonly #postgres: PGlite;
  readonly #lock: Disposable;

  constructor(postgres: PGlite, lock: Disposable) {
    this.#postgres = postgres;
    this.#lock = lock;
  }

  async query<R extends object>(text: string, parameters: readonly Parameter[] = []): Promise<R[]> {
    return (await this.#postgres.query<R>(text, [...parameters])).rows;
  }

  async script(text: string): Promise<void> {
    await this.#postgres.exec(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#postgres.close();
    } finally {
      // Last of all: whoever gets the lock opens the same files.
      this.#lock[Symbol.dispose]();
    }
  }
}
