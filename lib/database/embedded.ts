import type { PGlite } from "@electric-sql/pglite";
import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Database, type Parameter, SetupError } from "../database.ts";
import { takeFolder, unusable } from "../folder_lock.ts";
import { UsageError } from "../usage_error.ts";

const SETTING = "--embedded";
/** In the folder: what PGlite keeps. */
const FINISHED = "postgres";

/**
 * Opens the embedded PostgreSQL that keeps its rows in `directory`, which is made where it is missing. Throws `SetupError`
 * where another program has it open, or where PGlite is missing, and a `UsageError` where the folder is no good. Statements wait for
 * one another and know no deadline.
 */
export async function openEmbedded(directory: string): Promise<Database> {
  const create = await loadPGlite();
  const lock = await take(directory);
  try {
    return new EmbeddedDatabase(await open(directory, create), lock);
  } catch (error) {
    lock[Symbol.dispose]();
    throw unusable(SETTING, directory, error) ?? error;
  }
}

/** `openEmbedded`, but a folder in which none is kept is a `UsageError`, and nothing is made there: a query has nothing to ask it. */
export async function openExisting(directory: string): Promise<Database> {
  if (await exists(join(directory, FINISHED))) return await openEmbedded(directory);
  throw new UsageError([
    `${SETTING} is ${
      JSON.stringify(directory)
    }: no embedded database is kept there: check the path, or let a consumer with ` +
    `${SETTING} make one first`,
  ]);
}

async function take(directory: string): Promise<Disposable> {
  try {
    return await takeFolder(SETTING, directory);
  } catch (error) {
    if (error instanceof UsageError || (error as Error).name === "NotCapable") throw error;
    throw new SetupError((error as Error).message, { cause: error });
  }
}

type Create = (directory: string) => Promise<PGlite>;

/** Read when it is needed: it is 30 MB of code and data that a consumer with a server does without, and that a bundle leaves out. */
async function loadPGlite(): Promise<Create> {
  try {
    const { PGlite } = await import("@electric-sql/pglite");
    return (directory) => PGlite.create(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new SetupError(PGLITE_MISSING, { cause: error });
  }
}

const PGLITE_MISSING = "--embedded needs the package @electric-sql/pglite, which bundles and images leave out: " +
  "run consumer.ts where npm ci has been run, or write to a server (DB_HOST)";

/** PGlite takes any folder it finds for a finished one, so a new one gets its name when it is finished: a kill may come in between. */
async function open(directory: string, create: Create): Promise<PGlite> {
  const finished = join(directory, FINISHED);
  if (!await exists(finished)) {
    const unfinished = join(directory, "postgres.new");
    await rm(unfinished, { recursive: true, force: true });
    await (await create(unfinished)).close();
    await rename(unfinished, finished);
  }
  return await create(finished);
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
