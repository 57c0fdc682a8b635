import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import process from "node:process";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { UsageError } from "../usage_error.ts";

/** Milliseconds that a file must stay as it is before it is read: it may be half written. */
const SETTLED_AFTER = 300;

/** What a path leads to once it has stopped changing. */
export interface Settled {
  readonly look: string;
  /** Or why there is none. */
  readonly content: string | UsageError;
}

/** Reads a file once it has stopped changing; null where `signal` aborts first. */
export async function readSettled(path: string, signal: AbortSignal): Promise<Settled | null> {
  let before = await look(path);
  while (true) {
    await delay(SETTLED_AFTER, undefined, { signal }).catch(() => {});
    if (signal.aborted) return null;
    const content = await tryRead(path);
    const after = await look(path);
    if (after === before) return { look: after, content };
    before = after;
  }
}

async function tryRead(path: string): Promise<string | UsageError> {
  try {
    return await readText(path);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** What a path leads to, as a text that changes with it. */
export async function look(path: string): Promise<string> {
  try {
    const found = await stat(path);
    return found.isFile() ? [found.dev, found.ino, found.size, found.mtimeMs, found.ctimeMs].join() : NO_FILE;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
}

/** What `look` gives for a pipe, say, which gives what it holds once. */
export const NO_FILE = "no file";

/** Tells one content from another. */
export function digestOf(content: string): string {
  return createHash("sha256").update(content).digest("base64");
}

/** The content of a file, or with `-` of standard input. Throws a `UsageError` where it cannot be read. */
export async function readText(path: string): Promise<string> {
  if (path === "-") return await text(process.stdin);
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (code === undefined || name === "NotCapable") throw error;
    throw new UsageError([`${path}: cannot be read (${code}): check the path and the rights of the file`]);
  }
}
