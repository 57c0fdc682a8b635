import { basename } from "node:path";
import { count } from "../../config/count.ts";
import type { Rescue } from "./spool_file.ts";

/** Hears what a person should know of the disk: one line, said once for each cause. */
export interface SpoolEvents {
  error(text: string): void;
  warn(text: string): void;
}

/** Tells a person what happens to a spool and its metrics. */
export class SpoolReport {
  readonly #directory: string;
  readonly #events: SpoolEvents;
  /** Why the last write failed; undefined if it did not. */
  #trouble: string | undefined;

  constructor(directory: string, events: SpoolEvents) {
    this.#directory = directory;
    this.#events = events;
  }

  /** The spool was found damaged when it was opened. */
  damaged(rescue: Rescue): void {
    this.#events.error(this.#textOf(rescue));
  }

  /** So many metrics are not to be found, in the file or in the one that was made of it. */
  missing(metrics: number, rescue: Rescue | null): void {
    const lost = count(metrics, "metric");
    if (rescue !== null) this.#events.error(`${this.#textOf(rescue)}; ${lost} could not be read`);
    else if (metrics > 0) this.#events.error(`${lost} of the spool ${this.#directory} went without being sent`);
  }

  /** A row holds no metric. */
  leftOut(reason: string): void {
    this.#events.error(`A metric in the spool ${this.#directory} is left out, ${reason}`);
  }

  /** So many metrics for each of other topics stay in the spool. */
  others(waiting: ReadonlyMap<string, number>): void {
    for (const [topic, number] of waiting) {
      const [stay, them] = number === 1 ? ["stays", "it"] : ["stay", "them"];
      this.#events.warn(
        `${count(number, "metric")} for the topic ${topic} ${stay} in the spool ${this.#directory}: start with ` +
          `--kafka-topic ${topic} to send ${them}`,
      );
    }
  }

  /** True while the disk cannot be written. */
  get isFailing(): boolean {
    return this.#trouble !== undefined;
  }

  /** A write has failed. */
  failed(trouble: string): void {
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    const remedy = trouble.includes("full") ? "free space there" : "look at that disk";
    this.#events.error(
      `The spool ${this.#directory} cannot be written (${trouble}): metrics are in memory only until it can; ${remedy}`,
    );
  }

  /** A write has succeeded, and has so many metrics. */
  written(metrics: number): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    const what = metrics === 0 ? "" : `, and has ${count(metrics, "metric")} that had no place there`;
    this.#events.warn(`The spool ${this.#directory} is written again${what}`);
  }

  /** The file `name` is of no more use to this run; so many metrics wait in it. */
  outOfUse(reason: string, waiting: number, name: string): void {
    this.#events.error(
      `The spool ${this.#directory} is out of use (${reason}): metrics are in memory only, and ${waiting} wait in ` +
        `it; start again, or move ${name} away and start again`,
    );
  }

  #textOf({ reason, kept, saved }: Rescue): string {
    const go = saved === 1 ? "goes" : "go";
    return `The spool ${this.#directory} is damaged (${reason}): ${count(saved, "metric")} of it ${go} on in a ` +
      `new file; ${basename(kept)} keeps the old one, of which sqlite3 may read more (.recover)`;
  }
}
