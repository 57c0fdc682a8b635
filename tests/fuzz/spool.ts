import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpoolFile, SpoolFileError } from "../../lib/delivery/spool/spool_file.ts";
import type { Random } from "../support/random.ts";
import type { OpenTarget, Target } from "./target.ts";

/**
 * A spool with damaged files. A metric comes out as it was written, or a person is told of its
 * loss.
 */
export const spool: Target = {
  name: "spool",
  about: "of a damaged spool every metric is given out as it was written, or is told of, and the spool goes on",
  briefRounds: 150,
  missing: null,
  open: (random) => Promise.resolve(new Spools(random)),
};

const TOPIC = "metrics";
const LIMIT = 2 ** 30;
/** In this folder, where it exists, no write waits for a disk. */
const IN_MEMORY = "/dev/shm";

/** The documents that were read. `isTold`: a person is told of a damage. */
interface Reading {
  readonly documents: ReadonlyMap<number, string>;
  readonly isTold: boolean;
}

class Spools implements OpenTarget {
  readonly #random: Random;
  readonly #folder = mkdtempSync(join(existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir(), "fuzz-spool-"));
  #count = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  one(): Promise<void> {
    const folder = join(this.#folder, String(++this.#count));
    const [made, path] = [`${folder}-made`, `${folder}-found`];
    const { documents, waiting } = this.#write(made, path);
    const damage = this.#damage(path);
    try {
      this.#examine(path, documents, waiting);
    } catch (error) {
      throw new Error(`${(error as Error).message}\nafter: ${damage}, ${waiting.size} waiting`, { cause: error });
    }
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    return Promise.resolve();
  }

  /**
   * Writes a spool. `path` gets its files as they are after a close, or after a kill. Gives all
   * documents, and the ids that wait.
   */
  #write(made: string, path: string): { documents: Map<number, string>; waiting: Set<number> } {
    const random = this.#random;
    const documents = new Map<number, string>();
    const { file } = SpoolFile.open(made, TOPIC, LIMIT);
    let delivered = 0;
    for (let writes = random.between(0, 12); writes > 0; writes--) {
      const batch = Array.from({ length: random.pick([0, 1, 3, 40]) }, () => document(random));
      if (random.next() < 0.3) delivered = Math.max(delivered, file.read(random.between(0, 30)).rows.at(-1)?.id ?? 0);
      const { lastId } = file.write(batch, delivered);
      batch.forEach((text, i) => documents.set(lastId - batch.length + 1 + i, text));
    }
    const waiting = new Set([...documents.keys()].filter((id) => id > delivered));
    const isKilled = random.next() < 0.6;
    if (!isKilled) file[Symbol.dispose]();
    for (const end of ["", "-wal"]) if (existsSync(made + end)) copyFileSync(made + end, path + end);
    if (isKilled) file[Symbol.dispose]();
    for (const end of ["", "-wal", "-shm"]) rmSync(made + end, { force: true });
    return { documents, waiting };
  }

  #damage(path: string): string {
    const random = this.#random;
    const end = random.pick(["", "-wal"].filter((end) => existsSync(path + end)));
    const bytes = readFileSync(path + end);
    const at = random.between(0, Math.max(bytes.length - 1, 0));
    const kind = random.next();
    if (kind < 0.05 || bytes.length === 0) return "nothing";
    // Nobody can recognise a missing spool as damage, nor a journal without its end.
    if (kind < 0.12 && (end === "-wal" || existsSync(`${path}-wal`))) {
      rmSync(path + end);
      return `no spool${end}`;
    }
    if (kind < 0.15 && end === "") {
      truncateSync(path, Math.max(at, 1));
      return `spool cut at ${at}`;
    }
    // Damages a bit, a few bytes, a sector or a page, as disks and memory do.
    const length = kind < 0.75 ? 0 : random.pick([4, 512, 4096]);
    const from = length < 512 ? at : at - at % length;
    if (length === 0) bytes[at] = (bytes[at] as number) ^ (1 << random.between(0, 7));
    else bytes.fill(random.pick([0, 0xff]), from, Math.min(from + length, bytes.length));
    writeFileSync(path + end, bytes);
    return `spool${end} with ${length === 0 ? "a flipped bit" : `${length} other bytes`} at ${from} of ${bytes.length}`;
  }

  #examine(path: string, documents: ReadonlyMap<number, string>, waiting: ReadonlySet<number>): void {
    let file: SpoolFile | undefined;
    try {
      const { file: opened, ...found } = SpoolFile.open(path, TOPIC, LIMIT);
      file = opened;
      // The program refuses such a spool, and says so.
      if (found.topic !== TOPIC) return file[Symbol.dispose]();
      const { documents: read, isTold } = readAll(file, found.waiting, found.rescue !== null);
      for (const [id, text] of read) {
        if (documents.get(id) !== text) throw new Error(`Row ${id} is given out as ${text}, was ${documents.get(id)}`);
        if (!waiting.has(id) && !isTold) throw new Error(`Row ${id} was delivered, and is given out once more`);
      }
      const lost = [...waiting].filter((id) => !read.has(id));
      if (lost.length > 0 && !isTold) throw new Error(`Rows ${lost.join(", ")} are gone, and nobody is told`);
      file.write(["later"], 0);
      let later = file.read(10);
      // The read may find a damage that the write did not. The new file is then read from the same
      // place.
      if (later.rescue !== null) later = file.read(10);
      const { rows } = later;
      if (rows.length !== 1 || rows[0]?.document !== "later") {
        throw new Error(`What is written later does not come: ${JSON.stringify(rows)}`);
      }
      file[Symbol.dispose]();
      const again = SpoolFile.open(path, TOPIC, LIMIT);
      file = again.file;
      if (again.rescue !== null) throw new Error(`It is damaged again: ${again.rescue.reason}`);
      const { documents: once } = readAll(file, again.waiting, false);
      const expected = [...read.values(), "later"].join();
      if ([...once.values()].join() !== expected) {
        throw new Error(`It gives ${[...read.keys()].join()}, read again ${[...once.keys()].join()}`);
      }
      file[Symbol.dispose]();
    } catch (error) {
      if (error instanceof SpoolFileError) return;
      throw error;
    }
  }
}

/** Reads as the spool does (spool.ts), and tells of the same damage. */
function readAll(file: SpoolFile, waiting: number, wasRescued: boolean): Reading {
  const documents = new Map<number, string>();
  let [unread, isTold] = [waiting, wasRescued];
  for (let readings = 0; unread > 0; readings++) {
    if (readings > 10_000) throw new Error("The reading does not end");
    const read = file.read(7);
    const others = [...read.others.values()].reduce((sum, count) => sum + count, 0);
    const missing = unread - read.rows.length - others - read.unread;
    if (missing !== 0 || others > 0 || read.rescue !== null) isTold = true;
    unread = read.unread;
    for (const { id, document } of read.rows) {
      if (documents.has(id)) throw new Error(`Row ${id} is given out twice`);
      documents.set(id, document);
    }
  }
  return { documents, isTold };
}

function document(random: Random): string {
  const size = random.pick([10, 300, 300, 300, 9_000]);
  return JSON.stringify({ address: `https://a${random.between(0, 1e9)}.example/ü`, text: "x".repeat(size) });
}
