import { readFileSync } from "node:fs";

/**
 * The state of the journal ("write-ahead log") beside a spool file, before SQLite reads it. If one
 * of its bits has flipped, SQLite silently takes the part before it for the whole. If the journal
 * is missing, SQLite says nothing either.
 */
export type JournalState = "none" | "sound" | "damaged";

// https://www.sqlite.org/fileformat2.html#the_write_ahead_log
const HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = 0x377f0682;

/**
 * Reads the journal of the file at `path`. A journal without a byte counts as none: SQLite leaves
 * it so if it may begin anew.
 */
export function inspectJournal(path: string): JournalState {
  const bytes = readJournal(path);
  if (bytes.length === 0) return "none";
  return isSound(new DataView(bytes.buffer, bytes.byteOffset, bytes.length)) ? "sound" : "damaged";
}

function readJournal(path: string): Uint8Array {
  try {
    return readFileSync(`${path}-wal`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Uint8Array();
    throw error;
  }
}

/**
 * True if every finished write is whole. After a checkpoint SQLite writes the journal from its
 * beginning again: that is a new run, with new salts. Behind the present run there may be frames
 * that do not fit it. They do no harm if none of them finishes a write of this run. They are of an
 * earlier run, or of a write that was taken back or cut off by a kill.
 */
function isSound(journal: DataView): boolean {
  const sum = new Checksum(journal);
  if (journal.byteLength < HEADER || (journal.getUint32(0) & ~1) >>> 0 !== MAGIC) return false;
  sum.add(0, 24);
  if (!sum.is(24)) return false;
  const size = FRAME_HEADER + journal.getUint32(8);
  for (let at = HEADER; at + size <= journal.byteLength; at += size) {
    sum.add(at, 8);
    sum.add(at + FRAME_HEADER, size - FRAME_HEADER);
    if (!hasSalts(journal, at) || !sum.is(at + 16)) return !hasFinish(journal, at, size);
  }
  return true;
}

const hasSalt = (journal: DataView, at: number, nth: 0 | 4) =>
  journal.getUint32(at + 8 + nth) === journal.getUint32(16 + nth);
const hasSalts = (journal: DataView, at: number) => hasSalt(journal, at, 0) && hasSalt(journal, at, 4);

/**
 * True if a frame from `from` on finishes a write of the present run. True also for a frame of no
 * run at all.
 */
function hasFinish(journal: DataView, from: number, size: number): boolean {
  for (let at = from; at + size <= journal.byteLength; at += size) {
    const isOfThisRun = hasSalt(journal, at, 0) || hasSalt(journal, at, 4);
    if (isOfThisRun ? journal.getUint32(at + 4) !== 0 : !isOfEarlierRun(journal, at)) return true;
  }
  return false;
}

/**
 * True for a frame of an earlier run: each run counts the first salt up by one, and the runs are
 * counted too. True also for zeros: a power cut leaves them in a growing file.
 */
function isOfEarlierRun(journal: DataView, at: number): boolean {
  const runsAgo = (journal.getUint32(16) - journal.getUint32(at + 8)) >>> 0;
  if (runsAgo >= 1 && runsAgo <= journal.getUint32(12)) return true;
  return new Uint8Array(journal.buffer, journal.byteOffset + at).every((byte) => byte === 0);
}

/**
 * The running checksum of a journal. The last bit of the magic number tells the byte order of its
 * words.
 */
class Checksum {
  readonly #journal: DataView;
  readonly #isLittle: boolean;
  #first = 0;
  #second = 0;

  constructor(journal: DataView) {
    this.#journal = journal;
    this.#isLittle = journal.byteLength >= 4 && (journal.getUint8(3) & 1) === 0;
  }

  add(at: number, length: number): void {
    for (let word = at; word < at + length; word += 8) {
      this.#first = (this.#first + this.#journal.getUint32(word, this.#isLittle) + this.#second) >>> 0;
      this.#second = (this.#second + this.#journal.getUint32(word + 4, this.#isLittle) + this.#first) >>> 0;
    }
  }

  is(at: number): boolean {
    return this.#journal.getUint32(at) === this.#first && this.#journal.getUint32(at + 4) === this.#second;
  }
}
