import type { BatchCause } from "../async/batches.ts";
import { count } from "../config/count.ts";
import { isRejection, type Metric } from "../metric.ts";
import type { Entry } from "../postgres/store.ts";
import { type Log, SUMMARY_PERIOD } from "./log.ts";

/** Milliseconds between two looks at batches that were written as they were full. */
const LOOK_EVERY = 1000;

/** The part of a metric that tells one check from another. */
type CheckIdentity = Pick<Metric, "address" | "scheduled_at" | "location" | "producer" | "check_id">;

/** Two producers that have checked a due time of an address. */
interface DoubleCheck {
  readonly address: string;
  readonly producers: readonly [string, string];
}

/**
 * Notices producers that check the same hosts without knowing of each other: a shard beside a
 * producer of all hosts, or one that was left running somewhere. In a group, two checks of a due
 * time have one `check_id`, and the table one row.
 *
 * It looks at all batches of a consumer that keeps up, and at some of one that has much to do.
 */
export class DoubleChecks implements Disposable {
  readonly #log: Log;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Address → its last check in the batch that was looked at before. */
  #before: ReadonlyMap<string, CheckIdentity> = new Map();
  #lookedAt = -Infinity;
  #unsaid = 0;
  #first: DoubleCheck | null = null;
  #wasSaid = false;
  /** Due times that two producers have checked, as far as this was looked at. */
  total = 0;

  constructor(log: Log) {
    this.#log = log;
    this.#timer = setInterval(() => this.#say(), SUMMARY_PERIOD * 1000);
  }

  /** Looks at a batch that was stored at `now`, in milliseconds of a steady clock. */
  see(entries: Iterable<Entry>, cause: BatchCause, now: number): void {
    if (cause !== "age" && now - this.#lookedAt < LOOK_EVERY) return;
    this.#lookedAt = now;
    const seen = new Map<string, CheckIdentity>();
    for (const { content } of entries) {
      if (isRejection(content) || content.error === "missed" || content.error === "removed") continue;
      const { address, scheduled_at, location, producer, check_id } = content;
      const check = { address, scheduled_at, location, producer, check_id };
      this.#compare(check, seen.get(address) ?? this.#before.get(address));
      seen.set(address, check);
    }
    this.#before = seen;
    if (!this.#wasSaid) this.#say();
  }

  #compare(one: CheckIdentity, other: CheckIdentity | undefined): void {
    if (other === undefined || one.scheduled_at !== other.scheduled_at || one.scheduled_at === null) return;
    const isSame = one.producer === other.producer || one.check_id === other.check_id;
    if (isSame || one.location !== other.location || one.producer === null || other.producer === null) return;
    this.total++;
    this.#unsaid++;
    const [first = "", second = ""] = [other.producer, one.producer].toSorted();
    this.#first ??= { address: one.address, producers: [first, second] };
  }

  #say(): void {
    this.#wasSaid = this.#first !== null;
    if (this.#first === null) return;
    const { address, producers: [one, other] } = this.#first;
    this.#log.warn(
      `Two producers check the same hosts, ${one} and ${other}: ${count(this.#unsaid, "due time")} twice, as of ` +
        `${address}; stop one of them, or give both the same --group (CHECK_GROUP)`,
    );
    this.#first = null;
    this.#unsaid = 0;
  }

  [Symbol.dispose](): void {
    this.#say();
    clearInterval(this.#timer);
  }
}
