/** The phases of a check, in this order. After a redirect it begins again. */
export const PHASES = ["dns", "connect", "tls", "first_byte", "body"] as const;
export type Phase = typeof PHASES[number];

/** The seconds of each phase, null where it was never reached. Their sum is `total`. */
export interface Laps {
  readonly total: number;
  readonly phases: Readonly<Record<Phase, number | null>>;
}

/**
 * Divides the time of one check among its phases, without gaps. It counts whole microseconds, each
 * phase from one rounded moment to the next. Rounding each phase by itself would break "their sum
 * is the latency".
 */
export class Timings {
  readonly #now: () => number;
  readonly #began: number;
  readonly #microseconds: Partial<Record<Phase, number>> = {};
  #phase: Phase | undefined;
  #seen = 0;
  #stopped = false;

  /** Begins to count. `now` gives milliseconds, from any beginning. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#began = now();
  }

  /** The phase that runs now. */
  get phase(): Phase {
    return this.#phase ?? "dns";
  }

  /** Ends the current phase and begins `phase`. The first one begins with these timings. */
  enter(phase: Phase): void {
    this.#charge();
    this.#phase = phase;
    this.#microseconds[phase] ??= 0;
  }

  /** Notes that `phase` was not needed: it took 0 seconds. */
  skip(phase: Phase): void {
    this.#microseconds[phase] ??= 0;
  }

  /** Ends the current phase. Later time does not count. */
  stop(): void {
    this.#charge();
    this.#stopped = true;
  }

  /** The time so far, or until `stop`. */
  laps(): Laps {
    this.#charge();
    const seconds = (phase: Phase) => {
      const count = this.#microseconds[phase];
      return count === undefined ? null : count / 1e6;
    };
    const phases = Object.fromEntries(PHASES.map((phase) => [phase, seconds(phase)])) as Record<Phase, number | null>;
    return { total: this.#seen / 1e6, phases };
  }

  #charge(): void {
    if (this.#stopped || this.#phase === undefined) return;
    const now = Math.round((this.#now() - this.#began) * 1000);
    this.#microseconds[this.#phase] = (this.#microseconds[this.#phase] ?? 0) + now - this.#seen;
    this.#seen = now;
  }
}
