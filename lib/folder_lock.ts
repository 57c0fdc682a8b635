import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const NAME = "lock";

/** A database that nothing refers to is closed by the garbage collector, and its lock would be gone with it. */
const held = new Set<DatabaseSync>();

/**
 * Holds a folder for this program alone, until disposed of. The lock is the operating system's, which drops it with the
 * process however that ends; neither runtime can ask for one, but their SQLite does. Throws where another program,
 * on either runtime, holds the folder. The folder must exist.
 */
export function lockFolder(directory: string): Disposable {
  const file = new DatabaseSync(join(directory, NAME));
  try {
    file.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
  } catch (error) {
    file.close();
    if (!(error instanceof Error) || !error.message.includes("locked")) throw error;
    throw new Error(`${directory} is in use by another program: stop that one first, or name another folder`, {
      cause: error,
    });
  }
  held.add(file);
  const release = () => {
    if (held.delete(file)) file.close();
  };
  return { [Symbol.dispose]: release };
}
