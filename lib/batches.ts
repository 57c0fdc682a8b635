/** When a batch is full: by number of values, or by the age of its oldest value in seconds; whichever comes first. */
export interface BatchLimits {
  readonly size: number;
  readonly interval: number;
}

const OLD_ENOUGH = Symbol("the oldest value is old enough");

/**
 * Groups the values of `source`. A batch is given out when it has `size` values, when its oldest value has waited for
 * `interval` seconds, or when the source ends. A source that fails loses nothing: what waits is given out, then it throws.
 * While the caller works on a batch, one value is read ahead; leaving the loop early closes the source.
 */
export async function* batches<T>(source: AsyncIterable<T>, limits: BatchLimits): AsyncGenerator<T[], void> {
  const values = source[Symbol.asyncIterator]();
  let read = startRead(values);
  let batch: T[] = [];
  let age = new Age();
  let ended = false;
  try {
    while (true) {
      const came = batch.length === 0 ? await read.result : await Promise.race([read.result, age.reached]);
      if (came === OLD_ENOUGH) {
        yield batch;
        batch = [];
        continue;
      }
      if (came.done === true) break;
      if (batch.length === 0) age = new Age(read.arrivedAt + limits.interval * 1000);
      batch.push(came.value);
      read = startRead(values);
      if (batch.length >= limits.size) {
        age.cancel();
        yield batch;
        batch = [];
      }
    }
    ended = true;
    if (batch.length > 0) yield batch;
  } catch (error) {
    ended = true;
    if (batch.length > 0) yield batch;
    throw error;
  } finally {
    age.cancel();
    // Deliberately not awaited: a source parked on a read would hold the caller until that read ends.
    if (!ended) values.return?.().catch(() => {});
  }
}

/** A read under way, and when its value came: the value may have to wait while the caller works on the last batch. */
interface Read<T> {
  readonly result: Promise<IteratorResult<T>>;
  arrivedAt: number;
}

function startRead<T>(values: AsyncIterator<T>): Read<T> {
  const read: Read<T> = { result: values.next(), arrivedAt: 0 };
  // A failure is thrown where the result is awaited; unheeded here, it would end the process as an unhandled rejection.
  read.result.then(() => read.arrivedAt = performance.now(), () => {});
  return read;
}

/** Resolves `reached` at a moment of the monotonic clock, unless cancelled; without a moment, never. */
class Age {
  readonly reached: Promise<typeof OLD_ENOUGH>;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(at?: number) {
    this.reached = new Promise((resolve) => {
      if (at !== undefined) this.#timer = setTimeout(resolve, Math.max(0, at - performance.now()), OLD_ENOUGH);
    });
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }
}
