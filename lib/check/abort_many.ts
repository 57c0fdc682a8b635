/**
 * Passes the abort of one signal on to many pieces of work that come and go. Each could listen to
 * that signal itself, but a signal walks past all its listeners to add one. With 1,000 checks under
 * way, that would cost a sixth of a check.
 */
export class AbortMany {
  readonly #signal: AbortSignal;
  readonly #pieces = new Set<AbortController>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    const abort = () => {
      for (const piece of this.#pieces) piece.abort(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
  }

  /**
   * Does `work` with the signal of `piece`. That signal aborts with the common one too, and for the
   * same reason.
   */
  async during<T>(work: (signal: AbortSignal) => Promise<T>, piece = new AbortController()): Promise<T> {
    if (this.#signal.aborted) piece.abort(this.#signal.reason);
    this.#pieces.add(piece);
    try {
      return await work(piece.signal);
    } finally {
      this.#pieces.delete(piece);
    }
  }
}
