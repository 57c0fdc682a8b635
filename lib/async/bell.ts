import { addAbortListener } from "node:events";

/** Wakes one waiter. A ring is not lost where nobody waits: it ends the next wait. */
export class Bell {
  #isRung = false;
  #wake = () => {};

  ring(): void {
    this.#isRung = true;
    this.#wake();
  }

  /** Waits for a ring (then true), for so many milliseconds at most, or until `signal` aborts. */
  async wait(milliseconds = Infinity, signal?: AbortSignal): Promise<boolean> {
    if (!this.#isRung && signal?.aborted !== true) await this.#sleep(milliseconds, signal);
    const isRung = this.#isRung;
    this.#isRung = false;
    return isRung;
  }

  async #sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    using _listening = signal === undefined ? undefined : addAbortListener(signal, () => resolve());
    const timer = milliseconds === Infinity ? undefined : setTimeout(resolve, milliseconds);
    await promise;
    clearTimeout(timer);
  }
}
