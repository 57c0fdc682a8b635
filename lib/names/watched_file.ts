import { readFileSync, statSync } from "node:fs";

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

  /** What the file says, at most 5 s ago. */
  read(): T | null {
    const now = performance.now();
    if (now - this.#checkedAt < FRESH) return this.#value;
    this.#checkedAt = now;
    const version = versionOf(this.#path);
    if (version === this.#version) return this.#value;
    this.#version = version;
    this.#value = version === "" ? null : this.#parse(readFileSync(this.#path, "utf8"));
    return this.#value;
  }
}

/** Tells one state of a file from another; "" where there is none to read. */
function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino} ${stats.mtimeMs} ${stats.size}`;
}
