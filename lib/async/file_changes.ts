import { stat } from "node:fs/promises";
import type { Bell } from "./bell.ts";
import { delay } from "./waits.ts";

/** Files that belong together, and how they are read. */
export interface FileSet<T> {
  readonly paths: readonly string[];
  /** Called once none of them changes any more. */
  readonly read: () => Promise<T>;
}

/** What was read. */
export interface FileChange<T> {
  readonly value: T;
  /** True where it was asked for: the files may be what they were. */
  readonly isAsked: boolean;
}

/** Milliseconds from one look at the files to the next. Looking works everywhere; being told of changes does not. */
const LOOK_INTERVAL = 1000;

/** Milliseconds that files must stay as they are before they are read: one may be half written, or not all be there. */
const SETTLED_AFTER = 300;

/**
 * Reads files again whenever one of them has changed, and whenever `asked` rings; once at the
 * beginning too, since they may have changed before anybody looked. Ends when `signal` aborts; at
 * once where one of them is no file that could be read again. It goes by what a path leads to, so
 * that an editor's rename and a changed symbolic link (a ConfigMap or Secret of Kubernetes) are
 * changes too.
 */
export async function* fileChanges<T>(
  { paths, read }: FileSet<T>,
  asked: Bell,
  signal: AbortSignal,
): AsyncGenerator<FileChange<T>, void> {
  if ((await Promise.all(paths.map(lookAt))).includes(NO_FILE)) return;
  let seen = "";
  while (true) {
    const isAsked = await asked.wait(LOOK_INTERVAL, signal);
    if (signal.aborted) return;
    if (!isAsked && await look(paths) === seen) continue;
    for (let before = await look(paths);; before = seen) {
      await delay(SETTLED_AFTER, signal);
      if (signal.aborted) return;
      const value = await read();
      seen = await look(paths);
      if (seen !== before) continue;
      yield { value, isAsked };
      break;
    }
  }
}

/** What paths lead to, as a text that changes with it. */
async function look(paths: readonly string[]): Promise<string> {
  return (await Promise.all(paths.map(lookAt))).join("\n");
}

/** For a pipe, say, which gives what it holds once. */
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
