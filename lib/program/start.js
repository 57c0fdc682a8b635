// JavaScript, not TypeScript: an older Node must be able to read this file, and to say that it is
// too old.
import module from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";

/**
 * Why this runtime cannot run the programs, in one line; null if it can. `versions` are those of
 * `process`.
 *
 * @param {Readonly<Record<string, string | undefined>>} versions
 * @returns {string | null}
 */
export function runtimeTooOld(versions) {
  const { bun, deno, node = "0" } = versions;
  if (bun !== undefined) return `This is Bun ${bun}; ${NEEDED}`;
  if (deno !== undefined) return isBelow(deno, 2, 9) ? `This is Deno ${deno}; ${NEEDED}` : null;
  return isBelow(node, 24, 0) ? `This is Node ${node}; ${NEEDED}` : null;
}

const NEEDED = "Node 24 or newer is needed, or Deno 2.9 or newer";

/**
 * @param {string} version
 * @param {number} major
 * @param {number} minor
 */
function isBelow(version, major, minor) {
  const [its = 0, itsMinor = 0] = version.split(".").map(Number);
  return its < major || (its === major && itsMinor < minor);
}

/**
 * Ends the process with 2 and one line if this runtime is too old for the programs.
 *
 * @param {string} [hint] where a newer one comes from
 */
export function requireRuntime(hint = "") {
  const reason = runtimeTooOld(process.versions);
  if (reason !== null) leave(`${reason}${hint}`);
}

/**
 * Keeps the part of the heap for new objects as small as it is now. Node lets it grow to some 100 MB
 * where much of what is read must wait, as it does in a consumer that catches up. Clearing it would
 * be measured in a producer's checks: that one calls it before anything is loaded. It counts for all
 * threads. Deno goes on as before.
 */
export function keepNurserySmall() {
  // Of the flags for this memory, Node's start has used the others up.
  setFlagsFromString("--semi-space-growth-factor=1");
}

/**
 * Lets the heap grow to twice what is in use before old objects are collected. V8 takes up to four
 * times as much, and so a consumer that catches up keeps some 60 MB of rows that are stored already.
 * Collections come more often: it is for a program that measures nothing. It counts for all threads.
 */
export function growHeapSlowly() {
  setFlagsFromString("--heap-growing-percent=100");
}

/**
 * Lets Node keep what it makes of the sources for the next start, which then takes half the time.
 * It loads no compiler for TypeScript then: that saves 20 MB, and as much in each thread. Nothing
 * is kept where the folder cannot be written to. Call it before anything is loaded.
 */
export function keepCompiled() {
  // Deno has a folder of its own for that.
  if (process.versions.deno !== undefined) return;
  // Beside the program: who may write there may change the program too. Threads look at the
  // variable.
  process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL("../../.cache/compiled", import.meta.url));
  module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE);
}

/**
 * Runs the import in `load`. Ends the process with 2 and one line if the runtime is too old, or if
 * a package is not installed. The import must come by `load`: static imports are linked before
 * anything can be said.
 *
 * @param {() => Promise<unknown>} load
 * @returns {Promise<void>}
 */
export async function start(load) {
  requireRuntime(": npm ci brings both along, for npm run and in node_modules/.bin");
  try {
    await load();
  } catch (error) {
    const name = missingPackage(error);
    if (name === null) throw error;
    leave(`The package ${name} is not installed: run npm ci first (Deno needs no such step)`);
  }
}

/**
 * The package that Node did not find; null if the error is about something else.
 *
 * @param {unknown} error
 * @returns {string | null}
 */
function missingPackage(error) {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ERR_MODULE_NOT_FOUND") return null;
  return /^Cannot find package '([^']+)'/.exec(error.message)?.[1] ?? null;
}

/**
 * @param {string} reason
 * @returns {never}
 */
function leave(reason) {
  process.stderr.write(`${reason}\n`);
  process.exit(2);
}
