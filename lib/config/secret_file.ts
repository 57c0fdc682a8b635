import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** A secret that a file holds, or why it holds none: `that file is empty`. */
export type Secret = string | { readonly problem: string };

/**
 * Reads a secret. The last newline is no part of it: editors add it. Throws only where Deno does
 * not allow the reading.
 */
export async function readSecret(path: string): Promise<Secret> {
  return await readFile(path, "utf8").then(secretIn, unread);
}

/** As `readSecret`, at once. */
export function readSecretSync(path: string): Secret {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return unread(error);
  }
  return secretIn(text);
}

function secretIn(text: string): Secret {
  const secret = text.replace(/\r?\n$/, "");
  return secret === "" ? { problem: "that file is empty" } : secret;
}

function unread(error: unknown): Secret {
  // A refusal by Deno is not the fault of the file.
  if (!(error instanceof Error) || !("code" in error) || error.name === "NotCapable") throw error;
  return { problem: `that file cannot be read (${error.code})` };
}
