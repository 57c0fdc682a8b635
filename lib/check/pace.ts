import { whenSocketsAreServed } from "../async/waits.ts";

/** Milliseconds of work at one time, behind which everybody else has a turn. */
const TURN = 2;
/** Bytes that wait to be decoded, beyond which no more are read; and how few it takes to go on. */
const MANY_WAITING = 256 * 1024;
const FEW_WAITING = 64 * 1024;

/** Where bytes come from. */
export interface Flow {
  pause(): void;
  resume(): void;
}

/**
 * Keeps the decoding of one body from holding up other checks: Deno decodes on the thread that
 * serves them, and would take all pieces that wait, one after the other, before it looked at
 * anything else. Nor is more of the body read than is decoded soon.
 */
export class Pace {
  readonly #flow: Flow;
  #began = 0;
  #waiting = 0;
  #isPaused = false;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  /** Bytes came from the connection: whoever else has something was looked at just now. */
  begin(): void {
    this.#began = performance.now();
  }

  /** So many bytes wait from now on. */
  add(bytes: number): void {
    this.#waiting += bytes;
    if (this.#isPaused || this.#waiting <= MANY_WAITING) return;
    this.#isPaused = true;
    this.#flow.pause();
  }

  /** So many of them are decoded now. */
  take(bytes: number): void {
    this.#waiting -= bytes;
    if (!this.#isPaused || this.#waiting > FEW_WAITING) return;
    this.#isPaused = false;
    this.#flow.resume();
  }

  /** Goes on with `work`: now, or when the others had their turn. */
  next(work: () => void): void {
    if (performance.now() - this.#began < TURN) return work();
    whenSocketsAreServed(() => {
      this.begin();
      work();
    });
  }
}
