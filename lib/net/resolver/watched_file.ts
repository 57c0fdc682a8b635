import { readFileSync, statSync } from "node:fs";
import { isResourceExhausted } from "../exhausted_resource.ts";

/** Milliseconds until a file is looked at again, as in Go's resolver. */
const FRESH = 5000;

/** A file of settings that may change at any time; null while it cannot be read. */
export class WatchedFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  #value: T | null = null;
  #version = "";
  #checkedAt = -Infinity;

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path;
    this.#parse = parse;
  }

  /**
   * Gives the file's value, which is at most 5 s old. Throws only where this machine lacks open
   * files or memory, and the file was never read.
   */
  read(): T | null {
    const now = performance.now();
    if (now - this.#checkedAt < FRESH) return this.#value;
    this.#checkedAt = now;
    try {
      const { ino, mtimeMs, size } = statSync(this.#path);
      const version = `${ino} ${mtimeMs} ${size}`;
      if (version !== this.#version) this.#value = this.#parse(readFileSync(this.#path, "utf8"));
      this.#version = version;
    } catch (error) {
      if (isResourceExhausted(error)) {
        this.#checkedAt = -Infinity;
        if (this.#version === "") throw error;
        return this.#value;
      }
      // A file that is missing or forbidden does not end the checks.
      this.#version = "";
      this.#value = null;
    }
    return this.#value;
  }
}
