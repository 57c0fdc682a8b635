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

/**
 * The garbage collector closes a database without a reference to it, and the lock would go with it.
 */
const held = new Set<DatabaseSync>();

/**
 * Holds a folder for this program alone, until disposed of. The lock is the operating system's,
 * which drops it when the process ends, however it ends. Neither runtime can ask for such a lock,
 * but their SQLite does. Throws `FolderInUse` where another program holds it, on either runtime.
 * The folder must exist.
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

/** Throws `FolderInUse` where another program holds the folder. Creates nothing there. */
export function requireFree(directory: string): void {
  if (statSync(join(directory, NAME), { throwIfNoEntry: false }) !== undefined) lockFolder(directory)[Symbol.dispose]();
}

/**
 * Creates a file where it is missing. From its first byte on nobody but its owner can read it,
 * whatever the umask is. Takes the rights of others away from an existing file, and from existing
 * `companions`.
 */
export function makePrivate(path: string, companions: readonly string[] = []): void {
  create(path);
  for (const each of [path, ...companions]) {
    const mode = statSync(each, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & 0o077) === 0) continue;
    try {
      chmodSync(each, 0o600);
    } catch {
      // The file is another user's, who lets this one write there. The owner decides who else may
      // read it.
    }
  }
}

/**
 * Does not touch an existing file: closing one would drop the locks that this process has on it
 * (POSIX).
 */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Remedies for a folder that cannot be used, by the system's code for the cause. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: "let this user write there",
  EEXIST: "a file is in its place",
  ENOENT: "check the path",
  ENOSPC: "free space there",
  ENOTDIR: "a file is in its place, or above it",
  EPERM: "let this user write there",
  EROFS: "that disk is read-only",
};
/** SQLite says no more than this where a file may not be created or written. */
const NO_RIGHT = /unable to open|readonly/;

/**
 * Holds the folder that a setting names, and creates it where it is missing. Throws a `UsageError`
 * in the setting's name where the folder cannot be used. Throws the error of `lockFolder` where
 * another program holds it.
 */
export async function takeFolder(setting: string, directory: string): Promise<Disposable> {
  try {
    // The content is nobody else's business.
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return lockFolder(directory);
  } catch (error) {
    throw unusable(setting, directory, error) ?? error;
  }
}

/**
 * The `UsageError` for a folder that the system refuses; null where `error` is about something
 * else.
 */
export function unusable(setting: string, directory: string, error: unknown): UsageError | null {
  // A refusal by Deno is not the fault of the folder. Another program that holds it is not the
  // fault of the setting.
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
