import type { Worker } from "node:worker_threads";
import { unlessAborted } from "../async/waits.ts";
import type { Pattern } from "../hosts/pattern.ts";
import { Lane } from "./matching/lane.ts";
import { MatchStandings } from "./matching/standings.ts";
import { textOf } from "./matching/text.ts";
import { type Job, unknownCharset, Unmatched } from "./matching/thread.ts";
import { startWorker } from "./matching/worker.ts";

export { Unmatched };

/**
 * Matches bodies, and large ones in a worker. A page of 1 MiB would stop every other check for 100
 * ms and more.
 */
export interface Matcher extends AsyncDisposable {
  /**
   * Whether `pattern` matches the text of a page, or why that is unknown. It is unknown after
   * `limit` seconds of matching, or of waiting for a turn. The page's bytes may be gone afterwards.
   * Rejects when `signal` aborts, with its reason.
   *
   * `who` is the owner of the page. A host that is known for slow pages waits for other slow hosts
   * only. No other host waits for it.
   */
  matches(
    pattern: Pattern,
    page: MatchedPage,
    limit: number,
    signal: AbortSignal,
    who?: string,
  ): Promise<boolean | Unmatched>;
}

/** Matches bodies that take too long for the thread that makes checks, in workers. */
export interface LargeMatcher extends AsyncDisposable {
  /** As `Matcher.matches`, for the pattern with this source. */
  matches(
    source: string,
    page: MatchedPage,
    limit: number,
    signal: AbortSignal,
    who: string,
  ): Promise<boolean | Unmatched>;
}

/** A body, and its Content-Type. */
export interface MatchedPage {
  readonly bytes: Uint8Array;
  readonly contentType: string | null;
}

/**
 * How much work is done on the spot: bytes times steps of the pattern's program. The most awkward
 * patterns that were found take 0.2 µs for each: 6 ms at most (`npm run bench:matching`). It is
 * enough for a page of 2 KB with a pattern such as `price \d+`.
 */
const LITTLE_WORK = 32 * 1024;

/**
 * Seconds for a match in the workers that all hosts share. A usual match takes some 20 ms a MiB. A
 * longer one is stopped there, and goes on in the worker for slow pages. On a hostile page
 * `[ab].{0,200}c\\d` takes 5 s.
 */
const QUICK = 0.5;
/** Bytes of pages that may wait for the shared workers, and for the worker for slow pages. */
const MOST_WAITING = 256 * 1024 * 1024;
const MOST_WAITING_SLOW = 64 * 1024 * 1024;

export interface MatcherOptions {
  /**
   * Whether there are patterns. Under Deno the workers then start before anything is measured:
   * starting one stops Deno for 20 ms.
   */
  readonly isExpected?: boolean;
  readonly startNow?: boolean;
  /** The most workers, without the one for slow pages. */
  readonly workers?: number;
  /** Seconds for a match in one of them; for tests. */
  readonly budget?: number;
  /** Starts one; for tests. */
  readonly start?: () => Worker;
}

/** Opens a matcher: a body that takes little work is matched on the spot, any other in a worker. */
export function openMatcher(options: MatcherOptions = {}): Matcher {
  const large = openLargeMatcher(options);
  return { ...matcherBefore(large), [Symbol.asyncDispose]: () => large[Symbol.asyncDispose]() };
}

/** A matcher that leaves bodies to `large` that take more than a little work. */
export function matcherBefore(large: Pick<LargeMatcher, "matches">): Pick<Matcher, "matches"> {
  return {
    async matches(pattern, page, limit, signal, who = pattern.source) {
      signal.throwIfAborted();
      if (page.bytes.length * pattern.size > LITTLE_WORK) {
        return await large.matches(pattern.source, page, limit, signal, who);
      }
      const text = await textOf(page.bytes, page.contentType);
      return typeof text === "string" ? pattern.test(text) : unknownCharset(text);
    },
  };
}

/**
 * Opens a matcher for large bodies. Its workers start when they are first needed, or now. They do not keep the
 * program alive while they have nothing to do. Each waiting body belongs to a check under way. So
 * no more bodies wait than checks are allowed at the same time.
 */
export function openLargeMatcher(
  {
    isExpected = false,
    startNow = isExpected && "Deno" in globalThis,
    workers = defaultWorkers(),
    budget = QUICK,
    start = () => startWorker(),
  }: MatcherOptions = {},
): LargeMatcher {
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
    async matches(source, page, limit, signal, who) {
      signal.throwIfAborted();
      const question = { source, bytes: bufferOf(page.bytes), contentType: page.contentType };
      const outcome = new Promise<boolean | Unmatched>((resolve, reject) => {
        const isSlow = standings.isSlow(who);
        (isSlow === true ? slow : usual).add({ question, who, limit, signal, resolve, reject }, isSlow === false);
      });
      const found = await unlessAborted(outcome, signal);
      release(question.bytes);
      return found;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([usual.end(), slow.end()]);
    },
  };
}

/**
 * One core belongs to the checks. Beyond two workers, the memory costs more than the time is worth.
 */
function defaultWorkers(): number {
  return navigator.hardwareConcurrency > 2 ? 2 : 1;
}

/**
 * Gives the memory of a body back at once, where it is not another thread's by now. The collector
 * would let dozens of MiB gather.
 */
export function release(bytes: ArrayBuffer): void {
  if (bytes.byteLength > 0) bytes.transfer(0);
}

/**
 * A buffer with these bytes alone. Their own buffer may hold bytes of others, and goes to a worker
 * as a whole.
 */
export function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) return buffer;
  return new Uint8Array(bytes).buffer;
}
