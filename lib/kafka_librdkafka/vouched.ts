/** Values that may wait for an answer; more are not taken. */
const MOST_WAITING = 16;

/**
 * The values of `source`, each only after a question that was asked when it had come has been answered with true; the first
 * false ends it. One question at a time is under way, for all that came before it, and meanwhile more is taken.
 */
export async function* vouched<T>(source: AsyncIterable<T>, ask: () => Promise<boolean>): AsyncGenerator<T, void> {
  const values = source[Symbol.asyncIterator]();
  let waiting: T[] = [];
  let coming: Promise<{ readonly next: IteratorResult<T> }> | undefined;
  let asking: Promise<{ readonly asked: readonly T[]; readonly answer: boolean }> | undefined;
  try {
    while (true) {
      if (waiting.length < MOST_WAITING) coming ??= values.next().then((next) => ({ next }));
      if (waiting.length > 0 && asking === undefined) {
        const asked = waiting;
        waiting = [];
        asking = ask().then((answer) => ({ asked, answer }));
      }
      const event = await Promise.race([coming, asking].filter((promise) => promise !== undefined));
      if ("next" in event) {
        coming = undefined;
        if (event.next.done === true) return;
        waiting.push(event.next.value);
      } else {
        asking = undefined;
        if (!event.answer) return;
        yield* event.asked;
      }
    }
  } finally {
    // Nobody waits for them any more, and one that fails now must not end the process.
    coming?.catch(() => {});
    asking?.catch(() => {});
    // Deliberately not awaited: a source that waits for its next value would hold up whoever leaves.
    void values.return?.()?.catch(() => {});
  }
}
