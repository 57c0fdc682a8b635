import { isRejection, type Metric, type Rejection, verdictOn } from "../metric.ts";
import { type ArrayElement, ascii, base64, elements } from "./pg_text.ts";
import { bytesOf, type Entry, type Most, runs } from "./piece.ts";
import { reasonOutside, storableTimes } from "./part_spans.ts";
import type { Tables } from "./tables.ts";

export type EntryOf<C> = Entry & { readonly content: C };

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
  /** Bytes of keys and values. */
  readonly bytes: number;
}

export function encodeBatch(entries: readonly Entry[], tables: Tables, most: Most): EncodedBatch {
  const slices = [...runs(entries, most)].map((run) => encodeSlice(run, tables));
  return { entries, slices, bytes: slices.reduce((sum, { bytes }) => sum + bytes, 0) };
}

export function encodeSlice(entries: readonly Entry[], tables: Tables): BatchSlice {
  const sorted = sortEntries(entries, tables);
  const bytes = entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
  return { entries, sorted, columns: columnsOf(sorted, tables), bytes };
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

/** Errors of metrics that tell of no check. */
const NO_CHECKS: readonly string[] = ["missed", "removed"];

function sortEntries(entries: readonly Entry[], tables: Tables): SortedEntries {
  const metrics: EntryOf<Metric>[] = [];
  const rejections: EntryOf<Rejection>[] = [];
  const missed: Entry[] = [];
  // Without the column these could not be told from checks that were made.
  const holdsMissed = tables.columns.includes("error");
  const reasonAgainst = judgeOfTimes(tables);
  for (const entry of entries) {
    if (!isMetric(entry)) rejections.push(entry as EntryOf<Rejection>);
    else if (!holdsMissed && NO_CHECKS.includes(entry.content.error ?? "")) missed.push(entry);
    else {
      const reason = reasonAgainst?.(scheduledAt(entry.content)) ?? null;
      if (reason === null) metrics.push(entry);
      else rejections.push({ ...entry, content: { reason } });
    }
  }
  return { metrics, rejections, missed };
}

/** Gives the reason why a metric of a moment is not taken now. Null: every metric is. */
function judgeOfTimes({ kept, partLength }: Tables): ((at: string) => string | null) | null {
  const times = partLength === null ? null : storableTimes(Date.now());
  if (kept === null && times === null) return null;
  return (at) => {
    if (kept !== null && at < kept.from) {
      return `scheduled_at: ${at} is too old: rows are kept from ${kept.from} on (${kept.why})`;
    }
    return times === null ? null : reasonOutside(at, times);
  };
}

/** When a check was due or, of an older producer, began. */
export function scheduledAt({ scheduled_at, checked_at }: Metric): string {
  return scheduled_at ?? checked_at ?? "";
}

function isMetric(entry: Entry): entry is EntryOf<Metric> {
  return !isRejection(entry.content);
}

function columnsOf({ metrics, rejections }: SortedEntries, tables: Tables): string[] {
  const column = <T>(rows: readonly T[], value: (row: T) => ArrayElement) => elements(rows.map(value));
  return [
    column(rejections, (entry) => entry.partition),
    column(rejections, (entry) => entry.offset),
    column(rejections, (entry) => entry.key && base64(entry.key)),
    column(rejections, (entry) => entry.value && base64(entry.value)),
    column(rejections, ({ content }) => tables.isUnicode ? content.reason : ascii(content.reason)),
    column(metrics, (entry) => entry.partition),
    column(metrics, (entry) => entry.offset),
    ...tables.columns.map((field) => column(metrics, ({ content }) => fieldValue(content, field, tables))),
  ];
}

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
  if (value !== null) return value;
  if (field === "status_code" && tables.statusCodeRequired) return 0;
  if (field === "scheduled_at" && tables.scheduledAtRequired) return scheduledAt(metric);
  // Producers that did not know the field yet meant the rule.
  if (field === "up") return verdictOn(metric);
  return null;
}
