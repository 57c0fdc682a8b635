import { chmodSync, closeSync, openSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UsageError } from "./usage_error.ts";

const NAME = "lock";

/** Another program holds the folder. */
export class FolderInUse extends Error {
  override name = "FolderInUse";

  constructor(directory: string, cause: unknown) {
    super(`${directory} is in use by another program: stop that one first, or name another folder`, { cause });
  }
}

/** A database that nothing refers to is closed by the garbage collector, and its lock would be gone with it. */
const held = new Set<DatabaseSync>();

/**
 * Holds a folder for this program alone, until disposed of. The lock is the operating system's,
 * which drops it with the process however that ends; neither runtime can ask for one, but their
 * SQLite does. Throws `FolderInUse` where another program, on either runtime, holds it. The folder
 * must exist.
 */
export function lockFolder(directory: string): Disposable {
  const path = join(directory, NAME);
  makePrivate(path);
  const file = new DatabaseSync(path);
  try {
    file.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
  } catch (error) {
    file.close();
    if (!(error instanceof Error) || !error.message.includes("locked")) throw error;
    throw new FolderInUse(directory, error);
  }
  held.add(file);
  const release = () => {
    if (held.delete(file)) file.close();
  };
  return { [Symbol.dispose]: release };
}

/** Throws `FolderInUse` where another program holds the folder; makes nothing there. */
export function requireFree(directory: string): void {
  if (statSync(join(directory, NAME), { throwIfNoEntry: false }) !== undefined) lockFolder(directory)[Symbol.dispose]();
}

/**
 * Makes a file where it is missing, which nobody but its owner can read from its first byte on,
 * whatever the umask is. Takes the rights of others away from one that is there, and from
 * `companions` that are.
 */
export function makePrivate(path: string, companions: readonly string[] = []): void {
  create(path);
  for (const each of [path, ...companions]) {
    const mode = statSync(each, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & 0o077) === 0) continue;
    try {
      chmodSync(each, 0o600);
    } catch {
      // Another user's, who lets this one write there: it is his to decide who else may read it.
    }
  }
}

/** Leaves a file that is there alone: to close one would drop the locks that this process has on it (POSIX). */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** What a person can do where a folder cannot be used, by the system's word for it. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: "let this user write there",
  EEXIST: "a file is in its place",
  ENOENT: "check the path",
  ENOSPC: "free space there",
  ENOTDIR: "a file is in its place, or above it",
  EPERM: "let this user write there",
  EROFS: "that disk is read-only",
};
/** Of a file that may not be made, or written, SQLite says no more than this. */
const NO_RIGHT = /unable to open|readonly/;

/**
 * Holds the folder that a setting names, which is made where it is missing. Throws a `UsageError`
 * in the setting's name where the folder is no good, and what `lockFolder` throws where another
 * program holds it.
 */
export async function takeFolder(setting: string, directory: string): Promise<Disposable> {
  try {
    // What is kept there is nobody else's business.
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return lockFolder(directory);
  } catch (error) {
    throw unusable(setting, directory, error) ?? error;
  }
}

/** The `UsageError` for a folder that the system refuses; null where that is not what `error` is about. */
export function unusable(setting: string, directory: string, error: unknown): UsageError | null {
  // Deno's refusal is not the folder's fault; that another program holds it, not the setting's.
  if (!(error instanceof Error) || !("code" in error) || error.name === "NotCapable") return null;
  const code = String(error.code);
  const isSqlite = code === "ERR_SQLITE_ERROR";
  if (!isSqlite && !/^E[A-Z]+$/.test(code)) return null;
  const reason = isSqlite ? error.message : code;
  const remedy = REMEDIES[isSqlite && NO_RIGHT.test(reason) ? "EACCES" : code] ?? "look at that disk";
  return new UsageError([
    `${setting} is ${
      JSON.stringify(directory)
    }: that folder cannot be made or written (${reason}): ${remedy}, or name ` +
    "another folder",
  ]);
}
