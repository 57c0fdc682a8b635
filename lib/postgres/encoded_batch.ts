import { evidenceOf, isRejection, type Metric, type Rejection, verdictOn } from "../metric.ts";
import { bytesOf, type Entry, type EntryOf, ReceivedEntry, rejected } from "./entry.ts";
import { evidenceColumns } from "./evidence.ts";
import { SliceChecks } from "./incidents/observation.ts";
import { reasonOutside, type StorableTimes, storableTimes } from "./part_spans.ts";
import { type ArrayElement, ascii, base64, elements } from "./pg_text.ts";
import { type Most, runs } from "./piece.ts";
import { PlainRows, type Takes } from "./plain_rows.ts";
import type { Tables } from "./tables.ts";

/** The messages of a slice, sorted by where they go. */
export interface SortedEntries {
  readonly metrics: readonly EntryOf<Metric>[];
  readonly rejections: readonly EntryOf<Rejection>[];
  readonly missed: readonly Entry[];
}

/**
 * Messages that were encoded for the statement beforehand, while the database was busy with others.
 */
export interface EncodedBatch {
  readonly entries: readonly Entry[];
  /** No slice holds more than one statement may. */
  readonly slices: readonly BatchSlice[];
  /** Bytes of keys and values. */
  readonly bytes: number;
}

/** Messages that go into one statement together, with the texts that the flush statement takes. */
export interface BatchSlice {
  readonly entries: readonly Entry[];
  readonly sorted: SortedEntries;
  /**
   * The columns of `flushSql` from the rejected messages' partition on, each without the braces
   * around it.
   */
  readonly columns: readonly string[];
  /** The columns of `evidenceSql`, likewise; none where no metric has evidence. */
  readonly evidence: readonly string[];
  /** Its metrics as incidents see them; null: nobody wants incidents. */
  readonly checks: SliceChecks | null;
  /** The days (UTC) of its metrics. */
  readonly days: ReadonlySet<string>;
  /** Bytes of keys and values. */
  readonly bytes: number;
}

/** The columns of all slices, in order, as arrays for the flush statement. */
export function joinSlices(slices: readonly BatchSlice[]): string[] {
  const [first] = slices;
  if (first === undefined) throw new RangeError("There is nothing to store");
  return first.columns.map((_, i) => {
    const texts = slices.map(({ columns }) => columns[i] as string).filter((text) => text !== "");
    return `{${texts.join(",")}}`;
  });
}

/** Encodes messages for the statement. It uses its memory again for each slice. */
export class BatchEncoder {
  readonly #plain = new PlainRows();

  encode(entries: readonly Entry[], tables: Tables, most: Most): EncodedBatch {
    const slices = [...runs(entries, most)].map((run) => this.encodeSlice(run, tables));
    return { entries, slices, bytes: slices.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  encodeSlice(entries: readonly Entry[], tables: Tables): BatchSlice {
    this.#plain.clear();
    const slice = new SliceEncoding(tables, this.#plain, entries.length);
    let bytes = 0;
    for (const entry of entries) {
      slice.add(entry);
      bytes += bytesOf(entry);
    }
    return { entries, ...slice.finish(), bytes };
  }
}

/** Errors of metrics that tell of no check. */
const NO_CHECKS: readonly string[] = ["missed", "removed"];

/** A slice that is being encoded. Plain documents in a row are copied, all others are read. */
class SliceEncoding {
  readonly #tables: Tables;
  readonly #times: TakenTimes;
  readonly #takes: Takes;
  readonly #plain: PlainRows;
  readonly #metrics: EntryOf<Metric>[] = [];
  readonly #rejections: EntryOf<Rejection>[] = [];
  readonly #missed: Entry[] = [];
  /** Metrics that were read, and are not written yet. */
  #read: EntryOf<Metric>[] = [];
  /** What is written of each field. */
  readonly #texts: string[][];
  readonly #days = new Set<string>();
  readonly #evidence: EntryOf<Metric>[] = [];
  readonly #checks: SliceChecks | null;

  /** For `most` messages at most. */
  constructor(tables: Tables, plain: PlainRows, most: number) {
    this.#tables = tables;
    this.#times = takenTimes(tables);
    this.#takes = { ...boundsOf(this.#times), errors: tables.columns.includes("error") };
    this.#plain = plain;
    this.#texts = tables.columns.map(() => []);
    this.#checks = tables.hasIncidents ? new SliceChecks(this.#metrics, most, plain.keys) : null;
  }

  add(entry: Entry): void {
    if (entry instanceof ReceivedEntry && entry.value !== null && this.#plain.add(entry.value, this.#takes)) {
      this.#writeRead();
      if (this.#plain.isFull) this.#writePlain();
      // The content of a plain document is a metric.
      this.#metrics.push(entry as EntryOf<Metric>);
    } else this.#sort(entry);
  }

  finish(): Omit<BatchSlice, "entries" | "bytes"> {
    this.#writePlain();
    this.#writeRead();
    const sorted = { metrics: this.#metrics, rejections: this.#rejections, missed: this.#missed };
    const evidence = evidenceColumns(this.#evidence, this.#tables.isUnicode);
    return { sorted, columns: this.#columns(), evidence, checks: this.#checks, days: this.#days };
  }

  #sort(entry: Entry): void {
    if (!isMetric(entry)) this.#rejections.push(entry as EntryOf<Rejection>);
    // Without the column these could not be told from checks that were made.
    else if (!this.#takes.errors && NO_CHECKS.includes(entry.content.error ?? "")) this.#missed.push(entry);
    else {
      const at = scheduledAt(entry.content);
      const reason = reasonAgainst(at, this.#times);
      if (reason !== null) return void this.#rejections.push(rejected(entry, reason));
      this.#writePlain();
      this.#days.add(at.slice(0, 10));
      this.#metrics.push(entry);
      this.#read.push(entry);
      if (this.#tables.hasEvidence && evidenceOf(entry.content) !== null) this.#evidence.push(entry);
    }
  }

  /** Writes the columns of the documents that were copied. */
  #writePlain(): void {
    if (this.#plain.count === 0) return;
    const { columns, statusCodeRequired } = this.#tables;
    columns.forEach((field, i) => {
      const none = field === "status_code" && statusCodeRequired ? String(NO_STATUS) : undefined;
      this.#texts[i]?.push(this.#plain.column(field, none));
    });
    this.#plain.addDays(this.#days);
    if (this.#checks !== null) this.#plain.addChecks(this.#checks);
    this.#plain.clear();
  }

  /** Writes the columns of the metrics that were read. */
  #writeRead(): void {
    const read = this.#read;
    if (read.length === 0) return;
    this.#tables.columns.forEach((field, i) => {
      this.#texts[i]?.push(column(read, ({ content }) => fieldValue(content, field, this.#tables)));
    });
    for (const { content } of read) this.#checks?.addRead(content, scheduledAt(content));
    this.#read = [];
  }

  #columns(): string[] {
    const [metrics, rejections, { isUnicode }] = [this.#metrics, this.#rejections, this.#tables];
    return [
      column(rejections, (entry) => entry.partition),
      column(rejections, (entry) => entry.offset),
      column(rejections, (entry) => entry.key && base64(entry.key)),
      column(rejections, (entry) => entry.value && base64(entry.value)),
      column(rejections, ({ content }) => isUnicode ? content.reason : ascii(content.reason)),
      column(metrics, (entry) => entry.partition),
      column(metrics, (entry) => entry.offset),
      ...this.#texts.map((texts) => texts.join(",")),
    ];
  }
}

/** Which metrics are taken now, by their times. */
interface TakenTimes {
  readonly kept: Tables["kept"];
  readonly storable: StorableTimes | null;
}

function takenTimes({ kept, partLength }: Tables): TakenTimes {
  return { kept, storable: partLength === null ? null : storableTimes(Date.now()) };
}

/** The reason why a metric of this moment is not taken now; null if it is. */
function reasonAgainst(at: string, { kept, storable }: TakenTimes): string | null {
  if (kept !== null && at < kept.from) {
    return `scheduled_at: ${at} is too old: rows are kept from ${kept.from} on (${kept.why})`;
  }
  return storable === null ? null : reasonOutside(at, storable);
}

/** The first and the last moment for which `reasonAgainst` has no reason. */
function boundsOf({ kept, storable }: TakenTimes): Pick<Takes, "from" | "to"> {
  const [from = null] = [kept?.from, storable?.earliest].filter((at) => at !== undefined).toSorted().reverse();
  return { from, to: storable?.latest ?? null };
}

/** When a check was due or, of an older producer, began. */
export function scheduledAt({ scheduled_at, checked_at }: Metric): string {
  return scheduled_at ?? checked_at ?? "";
}

function isMetric(entry: Entry): entry is EntryOf<Metric> {
  return !isRejection(entry.content);
}

function column<T>(rows: readonly T[], value: (row: T) => ArrayElement): string {
  return elements(rows.map(value));
}

/** Stands for no answer where the column of the status code refuses null. */
const NO_STATUS = 0;

/** The smallest number above 0 and the largest that the type real takes, with some room. */
const REAL = { least: 1e-37, most: 3e38 } as const;

/** The nearest number that the type real takes: no metric is refused for a phase that nobody can mean. */
function withinReal(value: number): number {
  if (value >= REAL.least && value <= REAL.most) return value;
  return value < REAL.least ? 0 : REAL.most;
}

function fieldValue(metric: Metric, field: keyof Metric, tables: Tables): ArrayElement {
  const value = metric[field];
  if (typeof value === "number" && tables.reals.has(field)) return withinReal(value);
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  if (value !== null) return value;
  if (field === "status_code" && tables.statusCodeRequired) return NO_STATUS;
  if (field === "scheduled_at" && tables.scheduledAtRequired) return scheduledAt(metric);
  // Producers that did not know the field yet meant the rule.
  if (field === "up") return verdictOn(metric);
  return null;
}
