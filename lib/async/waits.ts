import { addAbortListener } from "node:events";
import { setTimeout as timer } from "node:timers/promises";

/** Options of `delay`. */
interface DelayOptions {
  /** False where the wait must not keep the program alive. */
  readonly ref?: boolean;
}

/** Waits so many milliseconds, or until `signal` aborts. Never rejects. */
export async function delay(milliseconds: number, signal?: AbortSignal, options: DelayOptions = {}): Promise<void> {
  await timer(milliseconds, undefined, { ...options, ...signal && { signal } }).catch(() => {});
}

/**
 * The result of `work`, or a rejection with the reason of `signal` where the signal aborts first.
 * `work` itself goes on then, and nobody hears of its end.
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  using _listening = addAbortListener(signal, () => reject(signal.reason));
  return await Promise.race([work, promise]);
}

/**
 * Runs something in the background until that is disposed of. The end waits so many milliseconds for
 * what is under way, and then leaves it: nobody hears how it ends.
 */
export function inBackground(run: (signal: AbortSignal) => Promise<void>, limit: number): AsyncDisposable {
  const end = new AbortController();
  const running = run(end.signal);
  return {
    async [Symbol.asyncDispose]() {
      end.abort();
      await unlessAborted(running, AbortSignal.timeout(limit)).catch(() => {});
    },
  };
}

/**
 * The values of `source` until it ends or `signal` aborts, whichever comes first. A read under way
 * is left behind then.
 */
export async function* until<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void> {
  const values = source[Symbol.asyncIterator]();
  let leave = () => {};
  using _listening = addAbortListener(signal, () => leave());
  try {
    while (!signal.aborted) {
      // Not a race with one promise for all reads: that promise would hold on to every read so far.
      const next = await new Promise<IteratorResult<T> | null>((resolve, reject) => {
        leave = () => resolve(null);
        values.next().then(resolve, reject);
      });
      if (next === null || next.done === true) return;
      yield next.value;
    }
  } finally {
    // Deliberately not awaited: a source that is stuck in a read would delay the stop.
    void values.return?.()?.catch(() => {});
  }
}

/**
 * Waits for the work that `start` begins, or until `signal` aborts. `start` calls `done` once with
 * the outcome; later calls do nothing. On an abort the promise rejects with the signal's reason.
 * The function that `start` returned is called too: it has to close everything that was opened.
 */
export function wait<T>(signal: AbortSignal, start: (done: (value: T) => void) => () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let close = () => {};
    const stop = () => {
      reject(signal.reason);
      close();
    };
    // Not by `addAbortListener`, which costs 2 µs more: every check waits here four times.
    signal.addEventListener("abort", stop, { once: true });
    close = start((value) => {
      signal.removeEventListener("abort", stop);
      resolve(value);
    });
    // Begun all the same: only `close` closes what `start` was given, such as an open connection.
    if (signal.aborted) stop();
  });
}

/** Calls `work` once the sockets with data have been served. */
export const whenSocketsAreServed: (work: () => void) => unknown = "Deno" in globalThis
  ? whenDenoHasSlept()
  : setImmediate;

/**
 * Deno looks at its sockets when it sleeps, else in every 61st turn of its loop. It does not sleep
 * where immediates wait, nor where a timer is due behind work that went on in ticks, as decoding
 * does. So a timer begins here only behind all work of this turn, when immediates run. All callers
 * share it: behind another timer's work it would be due again.
 */
function whenDenoHasSlept(): (work: () => void) => void {
  let waiting: (() => void)[] = [];
  const serve = () => {
    const works = waiting;
    waiting = [];
    for (const work of works) work();
  };
  return (work) => {
    if (waiting.push(work) === 1) setImmediate(() => setTimeout(serve, 0));
  };
}
