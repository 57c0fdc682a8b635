import { lstat, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../async/waits.ts";
import { hashOf } from "../hosts/schedule.ts";
import type { Standing } from "./scheduler.ts";

/** The standings that outlive a restart. */
const KEPT = ["quick", "slow", "suspect"] as const;
type KeptStanding = typeof KEPT[number];

/** The file in the spool's folder. */
const FILE = "standings.json";
const FORMAT = 1;
/** The most hosts in the file (so many take 4 MB), and the most bytes of it that are read. */
const MOST_HOSTS = 200_000;
const MOST_BYTES = 8 * 1024 * 1024;
/** Hosts that are written out in one piece, which takes less than a millisecond. */
const PIECE = 1000;
/** Milliseconds from one writing to the next. */
const EVERY = 5 * 60_000;
/** Milliseconds for the last writing: a disk that hangs must not hold up the end. */
const LAST_LIMIT = 500;

type Standings = Iterable<readonly [address: string, standing: Standing]>;

/**
 * Keeps the standings of hosts from one run to the next. Without it, hosts that never answer would
 * hold their part of the slots again after each start. It is a convenience: a missing or damaged
 * file is no file, and a failure to write it is ignored. An address stands there as a number only.
 */
export class StandingsFile {
  readonly #path: string;
  readonly #known: ReadonlyMap<number, KeptStanding>;
  #written = "";

  private constructor(path: string, known: ReadonlyMap<number, KeptStanding>) {
    this.#path = path;
    this.#known = known;
  }

  /** Opens the file in a folder that the program holds alone. */
  static async open(folder: string): Promise<StandingsFile> {
    const path = join(folder, FILE);
    return new StandingsFile(path, await read(path).catch(() => new Map()));
  }

  /** The standing of an address in an earlier run. */
  recall(address: string): Standing {
    return this.#known.get(hashOf(address)) ?? "unknown";
  }

  /** Writes `standings` now and then, and once more, soon, when `stop` has aborted. */
  async follow(standings: () => Standings, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await delay(EVERY, stop, { ref: false });
      if (!stop.aborted) await this.write(standings());
    }
    await Promise.race([this.write(standings()), delay(LAST_LIMIT)]);
  }

  /**
   * Replaces the file with one that only its owner may read. Does nothing where the disk does not
   * allow it.
   */
  async write(standings: Standings): Promise<void> {
    const text = await documentOf(standings);
    if (text === this.#written) return;
    const fresh = `${this.#path}.new`;
    try {
      await rm(fresh, { force: true });
      await writeFile(fresh, text, { mode: 0o600, flag: "wx" });
      await rename(fresh, this.#path);
      this.#written = text;
    } catch {
      // The spool reports the trouble with its folder.
    }
  }
}

async function documentOf(standings: Standings): Promise<string> {
  const hashes: Record<KeptStanding, number[]> = { quick: [], slow: [], suspect: [] };
  let count = 0;
  for (const [address, standing] of standings) {
    if (standing === "unknown") continue;
    if (count === MOST_HOSTS) break;
    hashes[standing].push(hashOf(address));
    if (++count % PIECE === 0) await delay(1);
  }
  return `${JSON.stringify({ format: FORMAT, ...hashes })}\n`;
}

async function read(path: string): Promise<Map<number, KeptStanding>> {
  const known = new Map<number, KeptStanding>();
  const stat = await lstat(path);
  if (!stat.isFile() || stat.size > MOST_BYTES) return known;
  const content: unknown = JSON.parse(await readFile(path, "utf8"));
  if (typeof content !== "object" || content === null) return known;
  const { format, ...lists } = content as Record<string, unknown>;
  if (format !== FORMAT) return known;
  for (const standing of KEPT) {
    for (const hash of listOf(lists[standing])) known.set(hash, standing);
  }
  return known;
}

function listOf(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.filter((each) => Number.isSafeInteger(each)).slice(0, MOST_HOSTS) : [];
}
