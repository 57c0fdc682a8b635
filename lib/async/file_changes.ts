import { stat } from "node:fs/promises";
import type { Bell } from "./bell.ts";
import { delay } from "./waits.ts";

/** Files that belong together, and how they are read. */
export interface FileSet<T> {
  /** Their paths now: what was read may name other files than before. */
  readonly paths: () => readonly string[];
  /** Called once none of them changes any more. */
  readonly read: () => Promise<T>;
}

/** The result of one reading. */
export interface FileChange<T> {
  readonly value: T;
  /** True where somebody asked for it: the files may be unchanged. */
  readonly isAsked: boolean;
}

/**
 * Milliseconds from one look at the files to the next. Looking works everywhere; notifications do
 * not.
 */
const LOOK_INTERVAL = 1000;

/**
 * Milliseconds that files must stay unchanged before they are read. One may be half written, or one
 * may still be missing.
 */
const SETTLED_AFTER = 300;

/**
 * Reads files again whenever one of them has changed, and whenever `asked` rings. Reads once at the
 * beginning too, since a file may have changed before the first look. Ends when `signal` aborts, or
 * at once where a path leads to no file that can be read again.
 *
 * It looks at the file behind each path. So an editor's rename and a changed symbolic link (a
 * ConfigMap or Secret of Kubernetes) are changes too.
 */
export async function* fileChanges<T>(
  { paths, read }: FileSet<T>,
  asked: Bell,
  signal: AbortSignal,
): AsyncGenerator<FileChange<T>, void> {
  if ((await Promise.all(paths().map(lookAt))).includes(NO_FILE)) return;
  let seen = "";
  while (true) {
    const isAsked = await asked.wait(LOOK_INTERVAL, signal);
    if (signal.aborted) return;
    if (!isAsked && await look(paths()) === seen) continue;
    for (let before = await look(paths());; before = seen) {
      await delay(SETTLED_AFTER, signal);
      if (signal.aborted) return;
      const value = await read();
      seen = await look(paths());
      if (seen !== before) continue;
      yield { value, isAsked };
      break;
    }
  }
}

/** The state of the files behind the paths, as a text that changes with them. */
async function look(paths: readonly string[]): Promise<string> {
  return (await Promise.all(paths.map(lookAt))).join("\n");
}

/** Stands for a pipe, for example, which gives its content only once. */
const NO_FILE = "no file";

async function lookAt(path: string): Promise<string> {
  try {
    const found = await stat(path);
    return found.isFile() ? [found.dev, found.ino, found.size, found.mtimeMs, found.ctimeMs].join() : NO_FILE;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
}
