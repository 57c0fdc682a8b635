/**
 * Runs `work` on each value of `source`, at most `limit` at a time, and gives the results in the order in which they are
 * ready. Reads the source no further while `limit` are running. A work that fails ends it all with that failure.
 */
export async function* concurrently<T, R>(
  source: AsyncIterable<T>,
  limit: number,
  work: (value: T) => Promise<R>,
): AsyncGenerator<R, void> {
  const values = source[Symbol.asyncIterator]();
  const results: R[] = [];
  let running = 0;
  let reading = false;
  let ended = false;
  let failure: { error: unknown } | undefined;
  let wake = () => {};

  const fail = (error: unknown) => {
    failure ??= { error };
    wake();
  };
  const start = (value: T) => {
    running++;
    work(value).then((result) => {
      running--;
      results.push(result);
      wake();
    }, fail);
  };
  const read = () => {
    reading = true;
    values.next().then((next) => {
      reading = false;
      if (next.done === true) ended = true;
      else start(next.value);
      wake();
    }, fail);
  };

  try {
    while (true) {
      if (failure !== undefined) throw failure.error;
      if (!ended && !reading && running < limit) read();
      if (results.length > 0) {
        yield results.shift() as R;
        continue; // The caller may have taken its time: what can be read or given now is seen above.
      }
      if (ended && running === 0) return;
      // Nothing runs between the checks above and here, so no wake can be missed.
      await new Promise<void>((resolve) => wake = resolve);
    }
  } finally {
    // Deliberately not awaited: see batches.ts.
    if (!ended) values.return?.().catch(() => {});
  }
}
