import { mkdir, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { unusable } from "../config/folder_lock.ts";
import { UsageError } from "../config/usage_error.ts";

const SETTING = "--page (PAGE)";

/** The folder in the folder that holds what is not for readers. */
const OWN = ".host-checker";
const LIST = "files.json";

/** The names that files of a page have: nothing else is ever written or removed. */
const NAME =
  /^(?:(?:index|page-\d+)\.html|feed\.atom|api\/(?:hosts|incidents)\.json|(?:host|badge)\/[\w.-]+\.(?:html|svg))$/;

/**
 * A folder with the files of a page, for a web server to read at any moment: each file is written
 * beside, and takes its name when it is whole. It remembers which files it made, and removes no
 * others.
 */
export class PageFolder {
  readonly #directory: string;
  #made: Set<string>;

  private constructor(directory: string, made: ReadonlySet<string>) {
    this.#directory = directory;
    this.#made = new Set(made);
  }

  /**
   * Opens a folder, which is made if it is missing. Throws a `UsageError` if it cannot be written,
   * or holds the page of somebody else.
   */
  static async open(directory: string): Promise<PageFolder> {
    try {
      const own = join(directory, OWN);
      const made = await readList(join(own, LIST));
      if (made === null && await exists(join(directory, "index.html"))) {
        throw new UsageError([
          `${SETTING} is ${JSON.stringify(directory)}: it holds an index.html that this program did not write: ` +
          "name another folder, or move that file away",
        ]);
      }
      // What a killed program has left unfinished goes with it.
      await rm(join(own, "new"), { recursive: true, force: true });
      for (const folder of [join(own, "new"), ...["api", "host", "badge"].map((name) => join(directory, name))]) {
        await mkdir(folder, { recursive: true });
      }
      const folder = new PageFolder(directory, made ?? new Set());
      await folder.#save();
      return folder;
    } catch (error) {
      throw unusable(SETTING, directory, error) ?? error;
    }
  }

  /** Says which files will be written. Known before they are, they are removed even after a kill. */
  async announce(names: Iterable<string>): Promise<void> {
    const before = this.#made.size;
    for (const name of names) this.#made.add(checked(name));
    if (this.#made.size > before) await this.#save();
  }

  /** Writes a file that was announced. A reader finds the old one or the new one, and never a part. */
  async write(name: string, text: string): Promise<void> {
    const unfinished = join(this.#directory, OWN, "new", name.replaceAll("/", "-"));
    await writeFile(unfinished, text);
    await rename(unfinished, join(this.#directory, checked(name)));
  }

  /** Removes the files that this program made, but for these. */
  async keepOnly(names: ReadonlySet<string>): Promise<void> {
    const gone = [...this.#made].filter((name) => !names.has(name));
    for (const name of gone) {
      await unlink(join(this.#directory, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      });
      this.#made.delete(name);
    }
    if (gone.length > 0) await this.#save();
  }

  async #save(): Promise<void> {
    const unfinished = join(this.#directory, OWN, "new", LIST);
    await writeFile(unfinished, `${JSON.stringify([...this.#made])}\n`);
    await rename(unfinished, join(this.#directory, OWN, LIST));
  }
}

function checked(name: string): string {
  if (!NAME.test(name) || dirname(name).includes("..")) throw new TypeError(`${name} is no file of a page`);
  return name;
}

/** The files that were made; null: this program has written nothing there. */
async function readList(path: string): Promise<ReadonlySet<string> | null> {
  try {
    const list = JSON.parse(await readFile(path, "utf8")) as unknown;
    return new Set(Array.isArray(list) ? list.filter((name) => typeof name === "string" && NAME.test(name)) : []);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    if (error instanceof SyntaxError) return new Set();
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}
