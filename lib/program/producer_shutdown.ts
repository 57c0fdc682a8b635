import { count } from "../config/count.ts";
import { type Figures, type Outbox, untilKept } from "../delivery/delivery.ts";
import type { Program } from "./program.ts";

/**
 * Seconds after the first signal until checks are given up, and then metrics on their way. The
 * program ends at 8 seconds (`STOP_LIMIT` in program.ts): closing has the last of them.
 */
const CHECKS_LIMIT = 6;
const DELIVERY_LIMIT = 7;
/** Seconds after the last check that `--once` waits for the delivery. */
const ONCE_LIMIT = 60;

/** Tells the parts of a producer when to end, and sums up how it went. */
export class ProducerShutdown {
  readonly #program: Program;
  readonly #isOnce: boolean;
  readonly #late = new AbortController();
  readonly #failed = new AbortController();
  /** Aborts when no check may begin any more. */
  readonly stopChecks: AbortSignal;
  /** Aborts when checks under way are given up. */
  readonly giveUpChecks: AbortSignal;
  /** Aborts when metrics on their way are given up. */
  readonly giveUpDelivery: AbortSignal;

  /** Lifts the time limit of the start. `isOnce`: `--once` checks every host once. */
  constructor(program: Program, isOnce: boolean) {
    const { stop, afterStop } = program;
    this.#program = program;
    this.#isOnce = isOnce;
    this.stopChecks = AbortSignal.any([stop, this.#failed.signal]);
    this.giveUpChecks = AbortSignal.any([afterStop(CHECKS_LIMIT), this.#failed.signal]);
    this.giveUpDelivery = AbortSignal.any([afterStop(DELIVERY_LIMIT), this.#late.signal]);
  }

  /** Ends the checks, since a part of the producer has failed. */
  readonly fail = (error: unknown): void => this.#failed.abort(error);

  /** Waits after the last check until the delivery has ended, or nothing is lost without it. */
  async settle(outbox: Outbox, delivery: Promise<void>): Promise<void> {
    if (this.#isOnce) setTimeout(() => this.#late.abort(), ONCE_LIMIT * 1000);
    const isDelivered = new AbortController();
    untilKept(outbox, this.#program.stop, isDelivered.signal).then(() => this.#late.abort(), () => {});
    await delivery;
    isDelivered.abort();
    await outbox.settle();
  }

  /** Says how it went. Gives the exit code. */
  report(figures: Figures, missed: number): number {
    const { log, stop } = this.#program;
    const result = resultOf(figures, missed);
    const isLost = figures.dropped > 0 || figures.waiting > figures.kept;
    // Metrics on disk are not lost, but --once is asked to deliver them, unless it was told to
    // stop.
    const isLate = isLost || (figures.kept > 0 && this.#isOnce && !stop.aborted);
    const hasFailed = this.#failed.signal.aborted && !this.giveUpDelivery.aborted;
    if (hasFailed) log.error(`${(this.#failed.signal.reason as Error).message} (${result})`);
    else if (isLate) log.error(this.giveUpDelivery.aborted ? `${result}: time is up for ${othersOf(figures)}` : result);
    else log.info(result);
    return isLate || hasFailed ? 1 : 0;
  }
}

/** The metrics that Kafka has not confirmed, and what becomes of them. */
function othersOf({ waiting, kept }: Figures): string {
  const lost = count(waiting - kept, "metric");
  if (waiting <= kept) return "the others";
  return kept > 0 ? `the others (${lost} lost)` : `the others (${lost} lost; --spool DIR would have kept them)`;
}

function resultOf({ made, delivered, kept, dropped }: Figures, missed: number): string {
  const parts = [`${count(made - missed, "check")} made`];
  if (missed > 0) parts.push(`${missed} missed`);
  parts.push(`${count(delivered, "metric")} delivered`);
  if (kept > 0) parts.push(`${kept} in the spool for the next start`);
  if (dropped > 0) parts.push(`${dropped} dropped`);
  return parts.join(", ");
}
