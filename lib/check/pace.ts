import { whenSocketsAreServed } from "../async/waits.ts";

/** Milliseconds of work at one time, behind which the sockets are served. */
const TURN = 2;
/** Bytes that wait to be decoded, beyond which no more are read; and how few it takes to go on. */
const MANY_WAITING = 256 * 1024;
const FEW_WAITING = 64 * 1024;

/**
 * The time that all checks together take of the thread before it looks at its sockets again. A
 * hostile body makes any amount of work of little. Ten of them, each with a time of its own, would
 * hold up whoever has an answer that waits for ten times as long. Work beyond the turn waits in a
 * queue; each turn does a piece of it at least.
 */
export class Turns {
  readonly #limit: number;
  /** When the turn under way began; null where nobody had work since the sockets were served. */
  #began: number | null = null;
  readonly #waiting: (() => void)[] = [];

  /** `limit`: milliseconds of a turn. */
  constructor(limit: number = TURN) {
    this.#limit = limit;
  }

  /** True where more work has to wait until the sockets were served. */
  get isOver(): boolean {
    const began = this.#open();
    return this.#waiting.length > 0 || performance.now() - began >= this.#limit;
  }

  /** Does `work` now or, where the turn is over, in a later one. */
  next(work: () => void): void {
    if (this.isOver) this.#waiting.push(work);
    else work();
  }

  /** When the turn under way began: now, where none was. */
  #open(): number {
    if (this.#began === null) {
      this.#began = performance.now();
      whenSocketsAreServed(() => this.#begin());
    }
    return this.#began;
  }

  #begin(): void {
    this.#began = null;
    if (this.#waiting.length === 0) return;
    const began = this.#open();
    do this.#waiting.shift()?.(); while (this.#waiting.length > 0 && performance.now() - began < this.#limit);
  }
}

/** Where bytes come from. */
export interface Flow {
  pause(): void;
  resume(): void;
}

/** A flow that rests as long as anybody wants it to: each `pause` takes a `resume`. */
export class SharedFlow implements Flow {
  readonly #flow: Flow;
  #pauses = 0;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  pause(): void {
    if (this.#pauses++ === 0) this.#flow.pause();
  }

  resume(): void {
    if (--this.#pauses === 0) this.#flow.resume();
  }
}

/**
 * Keeps the decoding of one body from holding up other checks: Deno decodes on the thread that
 * serves them, and would take all pieces that wait, one after the other, before it looked at
 * anything else. Nor is more of the body read than is decoded soon.
 */
export class Pace {
  readonly turns: Turns;
  readonly #flow: Flow;
  #waiting = 0;
  #isPaused = false;

  constructor(flow: Flow, turns: Turns) {
    this.#flow = flow;
    this.turns = turns;
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
}
