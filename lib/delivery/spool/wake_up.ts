/** Wakes one waiter. A ring that nobody waited for is kept for the next one who does. */
export class WakeUp {
  #isRung = false;
  #wake = () => {};

  ring(): void {
    this.#isRung = true;
    this.#wake();
  }

  async wait(): Promise<void> {
    if (!this.#isRung) await new Promise<void>((resolve) => this.#wake = resolve);
    this.#isRung = false;
  }
}
