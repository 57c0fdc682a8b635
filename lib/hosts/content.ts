import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { text } from "node:stream/consumers";
import { UsageError } from "../config/usage_error.ts";

/** Tells one content from another. */
export function digestOf(content: string): string {
  return createHash("sha256").update(content).digest("base64");
}

/** As `readText`, but gives the `UsageError`. */
export async function tryReadText(path: string): Promise<string | UsageError> {
  try {
    return await readText(path);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
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
