import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { inPieces, type Pieces } from "../async/pieces.ts";
import { type FileProblem, pathsIn, type References } from "./references.ts";

/** The longest file that is read, in bytes: a bundle of all public authorities has a quarter of it. */
const LONGEST = 1024 * 1024;
/** Files that are read at the same time. */
const AT_ONCE = 50;
/** What stands in a line with an option that names a file. */
const SIGNS = ["${file:", "tls-"];
/** Files that were joined may have a byte-order mark in the middle. */
const OPTION = /^\uFEFF?[ \t]*\|/;
/** An option whose value is the path of a file. */
const FILE_OPTION = /^\uFEFF?[ \t]*\|[ \t]*tls-(?:ca|cert|key)[ \t]+(.*?)[ \t]*\r?$/s;

/** The files to which the options of a hosts file refer, read beforehand. */
export class ReferencedFiles implements References {
  readonly #folder: string;
  readonly #contents = new Map<string, Buffer | FileProblem>();
  readonly variable: References["variable"];

  private constructor(folder: string, variable: References["variable"]) {
    this.#folder = folder;
    this.variable = variable;
  }

  /** Reads the files that `text`, a hosts file, names. Their paths begin at `folder`. */
  static async read(text: string, folder: string, variable: References["variable"]): Promise<ReferencedFiles> {
    const files = new ReferencedFiles(folder, variable);
    const paths = await inPieces(pathsOf(text));
    const waiting = paths.values();
    const readSome = async () => {
      for (const path of waiting) files.#contents.set(path, await contentOf(resolve(folder, path)));
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, paths.size) }, readSome));
    return files;
  }

  file(path: string): Buffer | FileProblem {
    return this.#contents.get(path) ?? { problem: "cannot be read" };
  }

  /** Where the files are. */
  get paths(): readonly string[] {
    return [...this.#contents.keys()].map((path) => resolve(this.#folder, path));
  }

  /** What the files hold, each by its path. */
  *contents(): Generator<readonly [path: string, content: string | Buffer]> {
    for (const [path, content] of this.#contents) yield [path, "problem" in content ? content.problem : content];
  }
}

/** The paths of the files that a hosts file names. */
function* pathsOf(text: string): Pieces<ReadonlySet<string>> {
  const paths = new Set<string>();
  for (const sign of SIGNS) {
    for (let at = text.indexOf(sign); at !== -1;) {
      const end = text.indexOf("\n", at);
      const line = text.slice(text.lastIndexOf("\n", at) + 1, end === -1 ? text.length : end);
      if (OPTION.test(line)) {
        for (const path of [...pathsIn(line), ...FILE_OPTION.exec(line)?.slice(1) ?? []]) paths.add(path);
      }
      at = end === -1 ? -1 : text.indexOf(sign, end);
      yield;
    }
  }
  return paths;
}

async function contentOf(path: string): Promise<Buffer | FileProblem> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return { problem: "is no file: name one" };
    if (found.size > LONGEST) return { problem: `has ${found.size} bytes, and ${LONGEST} are the most` };
    return await readFile(path);
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (name === "NotCapable") {
      return { problem: "Deno does not allow it to be read: start it as deno run -P=producer producer.ts" };
    }
    if (code === undefined) throw error;
    return { problem: `cannot be read (${code}): check the path and the rights of the file` };
  }
}
