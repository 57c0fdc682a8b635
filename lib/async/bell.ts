import { setTimeout as delay } from "node:timers/promises";

/** Waits that can be cut short from outside. A ring is not lost where nobody waits: it ends the next wait. */
export class Bell {
  #isRung = false;
  #wake = new AbortController();

  ring(): void {
    this.#isRung = true;
    this.#wake.abort();
  }

  /** Waits so many milliseconds, or until a ring (then true), or until `signal` aborts. */
  async wait(duration: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#isRung) {
      this.#wake = new AbortController();
      const end = () => this.#wake.abort();
      signal.addEventListener("abort", end, { once: true });
      if (!signal.aborted) await delay(duration, undefined, { signal: this.#wake.signal }).catch(() => {});
      signal.removeEventListener("abort", end);
    }
    const isRung = this.#isRung;
    this.#isRung = false;
    return isRung;
  }
}
