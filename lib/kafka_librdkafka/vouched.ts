/** Values that are held at the same time; more are not taken. */
const MOST_HELD = 4;

/**
 * The values of `source`, each only after a question that was asked when it had come has been answered with true; the first
 * false ends it. A question is asked when the reader waits, one at a time, for all that has come by then; meanwhile, and while
 * the reader is busy, more is taken. Ends with the source, and then without what nobody has vouched for.
 */
export async function* vouched<T>(source: AsyncIterable<T>, ask: () => Promise<boolean>): AsyncGenerator<T, void> {
  const values = source[Symbol.asyncIterator]();
  let waiting: readonly T[] = [];
  let asked: readonly T[] = [];
  const ready: T[] = [];
  let [isTaking, isAwaited, isOver] = [false, false, false];
  let failure: { readonly error: unknown } | undefined;
  let wake = () => {};

  const fail = (error: unknown) => {
    failure ??= { error };
    isOver = true;
    wake();
  };
  const take = () => {
    if (isTaking || isOver || waiting.length + asked.length + ready.length >= MOST_HELD) return;
    isTaking = true;
    values.next().then((next) => {
      isTaking = false;
      if (next.done === true) isOver = true;
      else waiting = [...waiting, next.value];
      goOn();
    }, fail);
  };
  const question = () => {
    // A reader that is busy needs no answer yet, and one question later on will be for more values.
    if (!isAwaited || asked.length > 0 || isOver || waiting.length === 0) return;
    [asked, waiting] = [waiting, []];
    ask().then((isTrue) => {
      if (isTrue) ready.push(...asked);
      else isOver = true;
      asked = [];
      goOn();
    }, fail);
  };
  const goOn = () => {
    take();
    question();
    wake();
  };

  try {
    goOn();
    while (true) {
      for (let value = ready.shift(); value !== undefined; value = ready.shift()) {
        take();
        yield value;
      }
      if (failure !== undefined) throw failure.error;
      if (isOver) return;
      isAwaited = true;
      question();
      await new Promise<void>((resolve) => wake = resolve);
      isAwaited = false;
    }
  } finally {
    isOver = true;
    // Deliberately not awaited: a source that waits for its next value would hold up whoever leaves.
    void values.return?.()?.catch(() => {});
  }
}
