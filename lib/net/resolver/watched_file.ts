import { readFileSync, statSync } from "node:fs";
import { isResourceExhausted } from "../exhausted_resource.ts";

/** Milliseconds for which a file is taken to be what it was, as in Go's resolver. */
const FRESH = 5000;

/** A file of settings that may change at any time. One that cannot be read is null. */
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
   * What the file said, at most 5 s ago. Throws only where this machine lacks what reading takes,
   * and the file was never read.
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
      // Not there, or not for us to read: that is no reason to check nothing.
      this.#version = "";
      this.#value = null;
    }
    return this.#value;
  }
}
