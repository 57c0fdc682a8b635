import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FunctionCoverage, linesThatRan } from "./lines.ts";

/** Which lines of a file ran under each runtime. */
export interface RanLines {
  readonly node: Set<number>;
  readonly deno: Set<number>;
}

interface NodeCoverage {
  readonly result: readonly { readonly url: string; readonly functions: readonly FunctionCoverage[] }[];
}

/** Gathers which lines of some files ran, from all that processes of Node and Deno wrote into two folders. */
export class Collector {
  readonly #lines: ReadonlyMap<string, RanLines>;
  readonly #sources: ReadonlyMap<string, string>;

  /** `paths` are whole. */
  constructor(paths: readonly string[]) {
    this.#lines = new Map(paths.map((path) => [path, { node: new Set(), deno: new Set() }]));
    this.#sources = new Map(paths.map((path) => [path, readFileSync(path, "utf8")]));
  }

  /** What ran of a file, so far. */
  linesOf(path: string): RanLines {
    return this.#lines.get(path) ?? { node: new Set(), deno: new Set() };
  }

  /**
   * Takes the files of a folder that processes of Node wrote, and removes them: a whole run writes
   * gigabytes. Gives the number of files that were left, since nobody has written them to their end.
   */
  takeNode(folder: string): number {
    const unfinished = readdirSync(folder).filter((name) => {
      const file = join(folder, name);
      const coverage = parse<NodeCoverage>(readFileSync(file, "utf8"));
      if (coverage === null) return true;
      this.#addNode(coverage);
      rmSync(file);
      return false;
    });
    return unfinished.length;
  }

  #addNode({ result }: NodeCoverage): void {
    for (const { url, functions } of result) {
      if (!url.startsWith("file:")) continue;
      const path = fileURLToPath(url.replace(/[?#].*/, ""));
      const source = this.#sources.get(path);
      if (source === undefined) continue;
      for (const line of linesThatRan(source, functions)) this.#lines.get(path)?.node.add(line);
    }
  }

  /**
   * Takes the folder that processes of Deno wrote. Deno maps what it ran back to the lines. Files
   * that nobody has written to their end it would refuse, and all others with them: they are removed.
   * Gives their number.
   */
  takeDeno(folder: string): number {
    const names = readdirSync(folder);
    const unfinished = names.filter((name) => parse(readFileSync(join(folder, name), "utf8")) === null);
    for (const name of unfinished) rmSync(join(folder, name));
    if (names.length === unfinished.length) return unfinished.length;
    const { stdout, stderr, status } = spawnSync("deno", ["coverage", "-q", "--lcov", folder], {
      encoding: "utf8",
      maxBuffer: Infinity,
    });
    if (status !== 0) throw new Error(`deno coverage failed: ${stderr}`);
    let lines: RanLines | undefined;
    for (const entry of stdout.split("\n")) {
      const [, path, line, count] = /^(?:SF:(.*)|DA:(\d+),(\d+))/.exec(entry) ?? [];
      if (path !== undefined) lines = this.#lines.get(path);
      else if (Number(count) > 0) lines?.deno.add(Number(line));
    }
    return unfinished.length;
  }
}

/** Null where the text ends early: its process is still writing, or was killed meanwhile. */
function parse<T>(text: string): T | null {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
