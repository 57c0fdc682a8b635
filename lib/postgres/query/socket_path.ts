import { chmod, lstat, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/**
 * The folder of the socket, in the folder of the database. Nobody else may enter it, whoever may
 * enter the latter.
 */
const FOLDER = "query";
const NAME = "socket";
/**
 * Bytes of a path that a socket may have: 107 on Linux, 103 on macOS. A longer one is cut, or
 * refused.
 */
const LONGEST = 100;

/**
 * Makes the folder anew: it may still hold the socket of a killed program. Throws if it cannot be
 * this user's alone.
 */
export async function makeSocketFolder(directory: string): Promise<void> {
  await removeSocketFolder(directory);
  await mkdir(join(directory, FOLDER), { mode: 0o700 });
}

export async function removeSocketFolder(directory: string): Promise<void> {
  await rm(join(directory, FOLDER), { recursive: true, force: true });
}

/**
 * True if the socket can be trusted. Only its owner may enter its folder, and the owner must be the
 * database's. Others who may write to the folder above could put a socket there, and answer as they
 * like.
 */
export async function isTrustworthy(directory: string): Promise<boolean> {
  const [folder, database] = await Promise.all([FOLDER, "postgres"].map((name) => lstat(join(directory, name))));
  return folder !== undefined && folder.isDirectory() && (folder.mode & 0o077) === 0 && folder.uid === database?.uid;
}

/** Lets only the owner write to the socket, even if the folder's mode is changed. */
export async function makeSocketPrivate(directory: string): Promise<void> {
  await chmod(join(directory, FOLDER, NAME), 0o600);
}

/**
 * Calls `use` with a path of the socket that is short enough. If need be, it goes by a link that
 * exists during the call.
 */
export async function withSocketPath<T>(directory: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = resolve(directory, FOLDER, NAME);
  if (Buffer.byteLength(path) <= LONGEST) return await use(path);
  // Its mode lets nobody else in.
  const place = await mkdtemp(join(tmpdir(), "host-checker-"));
  try {
    const link = join(place, "q");
    await symlink(resolve(directory, FOLDER), link);
    return await use(join(link, NAME));
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}
