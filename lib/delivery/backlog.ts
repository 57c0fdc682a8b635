import { count } from "../config/count.ts";
import type { Figures } from "./delivery.ts";

/** Hears what a person should know of waiting metrics. */
export interface BacklogEvents {
  info(text: string): void;
  warn(text: string): void;
}

/** Milliseconds between two looks at the figures, and between two lines about the same thing. */
const LOOK_EVERY = 1_000;
const SAY_EVERY = 60_000;

/**
 * Metrics that may wait without a word while others go out: more than are on their way at a time.
 */
const USUAL = 2_000;

/**
 * Says how many metrics wait and how many gave way, each at most once a minute. Ends when it is
 * disposed of.
 */
export function watchBacklog(figures: () => Figures, events: BacklogEvents): Disposable {
  const report = new BacklogReport(figures(), performance.now());
  const timer = setInterval(() => {
    const { dropped, waiting } = report.look(figures(), performance.now());
    if (dropped !== null) events.warn(dropped);
    if (waiting !== null) events.info(waiting);
  }, LOOK_EVERY);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * Finds what to say of figures that are looked at again and again; null if there is nothing. Times
 * are milliseconds of one clock.
 */
export class BacklogReport {
  #saidDropped = 0;
  #droppedAt = -Infinity;
  #last: Figures;
  #lastAt: number;

  constructor(figures: Figures, now: number) {
    this.#last = figures;
    this.#lastAt = now;
  }

  look(figures: Figures, now: number): { readonly dropped: string | null; readonly waiting: string | null } {
    return { dropped: this.#lookAtDropped(figures, now), waiting: this.#lookAtWaiting(figures, now) };
  }

  /** The first drop is said at once, later ones together. */
  #lookAtDropped({ dropped: all, refused = 0, unreadable = 0 }: Figures, now: number): string | null {
    // The sink tells of the refused ones, the spool of the unreadable ones.
    const dropped = all - refused - unreadable;
    const more = dropped - this.#saidDropped;
    if (more === 0 || now - this.#droppedAt < SAY_EVERY) return null;
    [this.#saidDropped, this.#droppedAt] = [dropped, now];
    return `${count(more, "metric")} dropped, the oldest first, since more wait for Kafka than there is room for; ` +
      `${dropped} since the start`;
  }

  #lookAtWaiting(figures: Figures, now: number): string | null {
    if (now - this.#lastAt < SAY_EVERY) return null;
    const last = this.#last;
    [this.#last, this.#lastAt] = [figures, now];
    const gone = figures.delivered - last.delivered;
    // A metric that was just made waits a moment too: only metrics that also waited at the last
    // look are worth a word.
    const usual = gone === 0 ? 0 : USUAL;
    if (Math.min(figures.waiting, last.waiting) <= usual) return null;
    const place = figures.kept === 0 ? "in memory" : `${figures.kept} of them on disk`;
    const wait = figures.waiting === 1 ? "waits" : "wait";
    return `${count(figures.waiting, "metric")} ${wait} for Kafka, ${place}; ${gone} delivered in the last minute`;
  }
}
