import { join } from "node:path";
import { Bell } from "../async/bell.ts";
import { delay } from "../async/waits.ts";
import { takeFolder } from "../config/folder_lock.ts";
import { UsageError } from "../config/usage_error.ts";
import { decodeMetric, encodeMetric, isRejection, type Metric } from "../metric.ts";
import type { Figures, Outbox } from "./delivery.ts";
import type { Rescue, SpoolRow } from "./spool/spool_file.ts";
import { type SpoolEvents, SpoolReport } from "./spool/spool_report.ts";
import { BrokenSpoolError, SpoolClient } from "./spool/spool_client.ts";

export type { SpoolEvents } from "./spool/spool_report.ts";

export interface SpoolOptions {
  /**
   * The destination of the metrics. Metrics for another topic stay in the spool, and are not sent.
   */
  readonly topic: string;
  /** About the bytes that may wait on disk. Beyond them the oldest metrics give way. */
  readonly mostOnDisk: number;
  /**
   * Metrics that may wait in memory while the disk cannot be written. Beyond them the oldest give
   * way.
   */
  readonly mostInMemory: number;
  readonly events: SpoolEvents;
}

const SETTING = "--spool (CHECK_SPOOL)";
/** The spool's file in the folder. SQLite keeps a journal beside it. */
const FILE = "spool.sqlite";

/**
 * Milliseconds that the first metric of a write waits for others: a sync of the disk for each would
 * be too many.
 */
const GATHER = 10;
/** Milliseconds from a failed write to the next try. */
const RETRY_EVERY = 1_000;
/** Milliseconds that the last write may take: a disk that hangs must not delay the end. */
const SETTLE_LIMIT = 500;
/**
 * Metrics of one write. So many are quick to write, and some of them may still fit on a full disk.
 */
const MOST_WRITTEN = 5_000;
const MOST_READ = 1_000;

const utf8 = new TextEncoder();

/**
 * An outbox on disk. A metric is on disk before it is given out, and is removed only after it was
 * acknowledged. So it outlives the program, however that ends. If the program ends in between, the
 * metric goes out again under its `check_id`.
 *
 *     push → pending → (one write) → disk → (read) → given out → acknowledged
 *          → removed with the next write
 *
 * While the disk cannot be written, metrics are given out from memory, after all that are on disk.
 * They are as safe as without a spool. When the disk can be written again, those not acknowledged
 * by then are written first.
 */
export class Spool implements Outbox {
  readonly #file: SpoolClient;
  readonly #lock: Disposable;
  readonly #options: SpoolOptions;
  readonly #report: SpoolReport;
  readonly #closing = new AbortController();
  readonly #toWrite = new Bell();
  readonly #toRead = new Bell();
  readonly #writing: Promise<void>;

  /** Metrics that are not on disk yet. The first `#underWay` of them are being written. */
  readonly #pending: Metric[] = [];
  #underWay = 0;
  #isWriting = false;
  /** Rows on disk that were not read yet, and rows that were not acknowledged yet. */
  #unread: number;
  #stored: number;
  /**
   * Metrics given out and not acknowledged yet: the rows of those on disk, and after them those in
   * memory only.
   */
  readonly #rowsOut: number[] = [];
  readonly #memoryOut: Metric[] = [];
  #deliveredUpTo = 0;
  #removedUpTo = 0;
  /** Rows of other topics that nobody was told of yet, by topic. */
  readonly #others = new Map<string, number>();

  #ended = false;
  #isBroken = false;
  #made = 0;
  #delivered = 0;
  #dropped = 0;
  #refused = 0;
  /** Rows on disk that cannot be read, or hold no metric. Each is told of. */
  #unreadable = 0;

  private constructor(
    options: SpoolOptions,
    report: SpoolReport,
    file: SpoolClient,
    lock: Disposable,
    waiting: number,
  ) {
    this.#options = options;
    this.#report = report;
    this.#file = file;
    this.#lock = lock;
    this.#unread = this.#stored = waiting;
    this.#writing = this.#write();
  }

  /**
   * Opens the spool in a folder, which is made if it is missing. Throws a `UsageError` if the
   * folder is unusable, or if metrics for another topic wait in it. Throws an `Error` if another
   * program holds it, or if its file is damaged.
   */
  static async open(directory: string, options: SpoolOptions): Promise<Spool> {
    const lock = await takeFolder(SETTING, directory);
    try {
      const { file, ...found } = await SpoolClient.open(join(directory, FILE), options.topic, options.mostOnDisk);
      const { topic, waiting, rescue } = found;
      const report = new SpoolReport(directory, options.events);
      if (rescue !== null) report.damaged(rescue);
      if (topic === options.topic) return new Spool(options, report, file, lock, waiting);
      await file[Symbol.asyncDispose]();
      throw new UsageError([
        `${SETTING} is ${JSON.stringify(directory)}: ${waiting} metrics for the topic ${topic} wait there; ` +
        `start with --kafka-topic ${topic} until they are sent, or name another folder`,
      ]);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  get figures(): Figures {
    return {
      made: this.#made,
      delivered: this.#delivered,
      waiting: this.#stored + this.#memoryOut.length + this.#pending.length,
      kept: this.#stored,
      dropped: this.#dropped + this.#unreadable,
      ...this.#refused > 0 && { refused: this.#refused },
      unreadable: this.#unreadable,
    };
  }

  push(metric: Metric): void {
    if (this.#ended) throw new TypeError("Cannot push to a spool that has ended");
    this.#made++;
    this.#pending.push(metric);
    if (this.#pending.length - this.#underWay > this.#options.mostInMemory) {
      this.#pending.splice(this.#underWay, 1);
      this.#dropped++;
    }
    this.#toWrite.ring();
    // If the disk is out of use, nobody else wakes the reader.
    this.#toRead.ring();
  }

  end(): void {
    this.#ended = true;
    this.#toRead.ring();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Metric, void> {
    while (!this.#closing.signal.aborted) {
      if (this.#unread > 0 && !this.#isBroken) yield* this.#fromDisk();
      else if (this.#canSkipDisk()) yield this.#fromMemory();
      else if (this.#ended && this.#pending.length === 0) return;
      else await this.#toRead.wait();
    }
  }

  acknowledge(count: number, refused = 0): void {
    this.#delivered += count - refused;
    this.#dropped += refused;
    this.#refused += refused;
    const rows = this.#rowsOut.splice(0, count);
    this.#memoryOut.splice(0, count - rows.length);
    this.#stored -= rows.length;
    this.#deliveredUpTo = rows.at(-1) ?? this.#deliveredUpTo;
    this.#toWrite.ring();
  }

  async settle(): Promise<void> {
    this.#closing.abort();
    this.#toWrite.ring();
    await Promise.race([this.#writing, delay(SETTLE_LIMIT)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
    await this.#file[Symbol.asyncDispose]();
    // Last of all: the next holder of the lock opens the same file.
    this.#lock[Symbol.dispose]();
  }

  async *#fromDisk(): AsyncGenerator<Metric, void> {
    for (const { id, document } of await this.#readRows()) {
      const metric = decodeMetric(utf8.encode(document), Date.now());
      if (isRejection(metric)) {
        this.#stored--;
        this.#unreadable++;
        this.#report.leftOut(metric.reason);
        continue;
      }
      this.#rowsOut.push(id);
      yield metric;
    }
  }

  async #readRows(): Promise<readonly SpoolRow[]> {
    try {
      const { rows, unread, others, rescue } = await this.#file.read(MOST_READ);
      const ofOthers = this.#keepOthers(others);
      const missing = this.#unread - rows.length - ofOthers - unread;
      this.#unread = unread;
      this.#miss(missing, rescue);
      if (unread === 0) {
        this.#report.others(this.#others);
        this.#others.clear();
      }
      return rows;
    } catch (error) {
      this.#break(error as Error);
      return [];
    }
  }

  /** So many rows are missing in the file, or in the new file that was made of it. */
  #miss(missing: number, rescue: Rescue | null): void {
    if (missing > 0) {
      this.#stored -= missing;
      this.#unreadable += missing;
    }
    this.#report.missing(Math.max(missing, 0), rescue);
  }

  /** Takes rows of other topics out of the figures. Gives their number. */
  #keepOthers(others: ReadonlyMap<string, number>): number {
    let sum = 0;
    for (const [topic, count] of others) {
      this.#others.set(topic, (this.#others.get(topic) ?? 0) + count);
      sum += count;
    }
    this.#stored -= sum;
    return sum;
  }

  /**
   * True if a metric should go out from memory and not wait for the disk. During a write all
   * metrics wait: only its end tells whether they are on disk.
   */
  #canSkipDisk(): boolean {
    return this.#pending.length > 0 && !this.#isWriting && (this.#isBroken || this.#report.isFailing);
  }

  #fromMemory(): Metric {
    const metric = this.#pending.shift() as Metric;
    this.#memoryOut.push(metric);
    return metric;
  }

  /** Writes waiting metrics again and again, until the spool is closed. */
  async #write(): Promise<void> {
    const { signal } = this.#closing;
    while (!this.#isBroken) {
      if (!this.#hasToWrite) {
        if (signal.aborted) return;
        await this.#toWrite.wait();
        continue;
      }
      await delay(GATHER, signal);
      const isWritten = await this.#writeOnce();
      if (!isWritten && signal.aborted) return;
      if (!isWritten) await delay(RETRY_EVERY, signal);
    }
  }

  get #hasToWrite(): boolean {
    return this.#memoryOut.length + this.#pending.length > 0 || this.#deliveredUpTo !== this.#removedUpTo;
  }

  async #writeOnce(): Promise<boolean> {
    this.#isWriting = true;
    const out = this.#memoryOut.slice(0, MOST_WRITTEN);
    const pending = this.#pending.slice(0, MOST_WRITTEN - out.length);
    const [outBefore, delivered] = [this.#memoryOut.length, this.#deliveredUpTo];
    this.#underWay = pending.length;
    try {
      const documents = [...out, ...pending].map(encodeMetric);
      const { dropped, unread, lastId, rescue } = await this.#file.write(documents, delivered, out.length);
      this.#removedUpTo = delivered;
      if (rescue !== null) this.#miss(this.#unread + pending.length - dropped - unread, rescue);
      this.#unread = unread;
      this.#stored += documents.length - dropped;
      this.#dropped += dropped;
      this.#pending.splice(0, pending.length);
      this.#nowOnDisk(lastId - documents.length, out.length, outBefore - this.#memoryOut.length);
      this.#report.written(documents.length);
      return true;
    } catch (error) {
      if (error instanceof BrokenSpoolError) this.#break(error);
      else this.#report.failed((error as Error).message);
      return false;
    } finally {
      this.#underWay = 0;
      this.#isWriting = false;
      this.#toRead.ring();
    }
  }

  /**
   * `count` metrics that were given out from memory have got the rows after `row`. The first
   * `acknowledged` of them were acknowledged during the write.
   */
  #nowOnDisk(row: number, count: number, acknowledged: number): void {
    const gone = Math.min(count, acknowledged);
    this.#memoryOut.splice(0, count - gone);
    for (let n = gone + 1; n <= count; n++) this.#rowsOut.push(row + n);
    this.#stored -= gone;
    if (gone > 0) this.#deliveredUpTo = row + gone;
  }

  #break({ message }: Error): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#report.outOfUse(message, this.#stored, FILE);
  }
}
