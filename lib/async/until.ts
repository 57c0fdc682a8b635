/**
 * The values of `source` until it ends or `signal` aborts, whichever comes first; a read under way
 * is left behind then.
 */
export async function* until<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void> {
  const values = source[Symbol.asyncIterator]();
  let leave = () => {};
  const abort = () => leave();
  signal.addEventListener("abort", abort, { once: true });
  try {
    while (!signal.aborted) {
      // Not a race with one promise for all reads: that one would hold on to every read there ever was.
      const next = await new Promise<IteratorResult<T> | null>((resolve, reject) => {
        leave = () => resolve(null);
        values.next().then(resolve, reject);
      });
      if (next === null || next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    // Deliberately not awaited: a source parked on a read would hold up whoever stops.
    void values.return?.()?.catch(() => {});
  }
}
