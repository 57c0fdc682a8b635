import type { Worker } from "node:worker_threads";
import { unlessAborted } from "../async/waits.ts";
import type { Pattern } from "../hosts/pattern.ts";
import { Lane } from "./matching/lane.ts";
import { MatchStandings } from "./matching/standings.ts";
import { textOf } from "./matching/text.ts";
import { type Job, unknownCharset, Unmatched } from "./matching/thread.ts";
import { startWorker } from "./matching/worker.ts";

export { Unmatched };

/** Matches bodies, the large ones in a worker: a page of 1 MiB would stop every other check for 100 ms and more. */
export interface Matcher extends AsyncDisposable {
  /**
   * Whether `pattern` matches the text of `bytes`, or why nobody can tell: it took more than
   * `limit` seconds, or waited as long for its turn. `bytes` may be gone afterwards. Rejects with
   * `signal`'s reason when that aborts. `who`: whose page it is; who is known for pages that take
   * long waits for others of that kind, and nobody else waits for them.
   */
  matches(
    pattern: Pattern,
    page: MatchedPage,
    limit: number,
    signal: AbortSignal,
    who?: string,
  ): Promise<boolean | Unmatched>;
}

/** A body and what its server says of it. */
export interface MatchedPage {
  readonly bytes: Uint8Array;
  readonly contentType: string | null;
}

/**
 * How much is matched on the spot: bytes times steps of the pattern's program. The most awkward
 * patterns that were found take 0.2 µs for each, so that this is at most some 6 ms (`npm run
 * bench:matching`): a page of 2 KB with a pattern such as `price \d+`.
 */
const LITTLE_WORK = 32 * 1024;

/**
 * Seconds for a match in the workers that all hosts share. A usual one takes some 20 ms a MiB. What
 * takes longer is stopped there, and done in a worker of its own kind: `[ab].{0,200}c\\d` on a
 * hostile page takes 5 s.
 */
const QUICK = 0.5;
/** Bytes of pages that may wait for the workers of all, and for the one of those that take long. */
const MOST_WAITING = 256 * 1024 * 1024;
const MOST_WAITING_SLOW = 64 * 1024 * 1024;

export interface MatcherOptions {
  /**
   * Whether there are patterns: under Deno, which stops for 20 ms to start a worker, they then
   * start before anything is measured.
   */
  readonly isExpected?: boolean;
  readonly startNow?: boolean;
  /** How many workers there are, at most, aside from the one for pages that take long. */
  readonly workers?: number;
  /** Seconds for a match in one of them; for tests. */
  readonly budget?: number;
  /** Starts one; for tests. */
  readonly start?: () => Worker;
}

/**
 * A matcher whose workers start when they are first needed, or now, and do not keep the program
 * alive while they have nothing to do. What waits for a worker is a body of a check under way, so
 * no more can wait than checks are allowed at the same time.
 */
export function openMatcher(
  {
    isExpected = false,
    startNow = isExpected && "Deno" in globalThis,
    workers = defaultWorkers(),
    budget = QUICK,
    start = () => startWorker(),
  }: MatcherOptions = {},
): Matcher {
  const standings = new MatchStandings();
  const note = ({ who }: Job, seconds: number) => seconds > budget ? standings.noteSlow(who) : standings.noteQuick(who);
  const slow = new Lane({ start, workers: 1, budget: null, mostBytes: MOST_WAITING_SLOW, note, pass() {} });
  const pass = (job: Job) => {
    standings.noteSlow(job.who);
    slow.add(job, false);
  };
  const usual = new Lane({ start, workers, budget, mostBytes: MOST_WAITING, note, pass });
  if (startNow) usual.start();
  return {
    async matches(pattern, page, limit, signal, who = pattern.source) {
      signal.throwIfAborted();
      if (page.bytes.length * pattern.size <= LITTLE_WORK) {
        const text = await textOf(page.bytes, page.contentType);
        return typeof text === "string" ? pattern.test(text) : unknownCharset(text);
      }
      const question = {
        source: pattern.source,
        bytes: bufferOf(page.bytes),
        contentType: page.contentType,
      };
      const outcome = new Promise<boolean | Unmatched>((resolve, reject) => {
        const isSlow = standings.isSlow(who);
        (isSlow === true ? slow : usual).add({ question, who, limit, signal, resolve, reject }, isSlow === false);
      });
      return await unlessAborted(outcome, signal);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([usual.end(), slow.end()]);
    },
  };
}

/** One core belongs to the checks; beyond two workers the memory costs more than the time is worth. */
function defaultWorkers(): number {
  return navigator.hardwareConcurrency > 2 ? 2 : 1;
}

/** A buffer with these bytes alone: theirs may hold what belongs to others, and goes over to a worker as a whole. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) return buffer;
  return new Uint8Array(bytes).buffer;
}
