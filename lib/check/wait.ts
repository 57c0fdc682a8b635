/**
 * Waits for what `start` begins, or until `signal` aborts: then it rejects with the signal's
 * reason, after calling what `start` returned, which has to close what was opened. `start` calls
 * `done` once with the outcome; later calls do nothing.
 */
export function wait<T>(signal: AbortSignal, start: (done: (value: T) => void) => () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let close = () => {};
    const stop = () => {
      reject(signal.reason);
      close();
    };
    signal.addEventListener("abort", stop, { once: true });
    close = start((value) => {
      signal.removeEventListener("abort", stop);
      resolve(value);
    });
    // Begun all the same: what `start` was given, an open connection say, is closed by `close` alone.
    if (signal.aborted) stop();
  });
}
