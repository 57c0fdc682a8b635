import { printableInLine, printableJson } from "../config/terminal.ts";

/** A row of a result: values by the names of its columns, as the database's client gives them. */
export type Row = object;

/**
 * Rows as JSON documents, one a line. Times are ISO 8601, bytes as PostgreSQL writes them, whole
 * numbers of any size exact.
 */
export function jsonLines(rows: readonly Row[]): string {
  return rows.map((row) => `${printableJson(JSON.stringify(row, jsonValue))}\n`).join("");
}

/**
 * For `JSON.stringify`: bytes as PostgreSQL writes them, whole numbers of any size. Node's own
 * bytes have a `toJSON`, and JSON.stringify gives its result here: the holder has the bytes
 * themselves.
 */
export function jsonValue(this: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown {
  const original = this[key];
  if (original instanceof Uint8Array) return hexadecimal(original);
  if (typeof value !== "bigint") return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

/**
 * Rows as a table for a person, in columns of a fixed-width font; numbers to the right, null left
 * empty.
 */
export function formatTable(
  rows: readonly Row[],
  /** The names of the columns, in order; needed if there is no row. */
  names: readonly string[] = Object.keys(rows[0] ?? {}),
): string {
  const count = `(${rows.length} ${rows.length === 1 ? "row" : "rows"})\n`;
  if (names.length === 0) return count;
  const columns = names.map((name) => column(name, rows.map((row) => (row as Record<string, unknown>)[name])));
  const rule = columns.map(({ width }) => "─".repeat(width)).join("  ");
  const lines = [line(columns, -1), rule, ...rows.map((_, i) => line(columns, i))];
  return `${lines.map((text) => text.trimEnd()).join("\n")}\n${count}`;
}

interface TextColumn {
  readonly name: string;
  readonly cells: readonly string[];
  readonly width: number;
  readonly isNumeric: boolean;
}

function column(name: string, values: readonly unknown[]): TextColumn {
  const heading = printableInLine(name);
  const cells = values.map(cell);
  const width = cells.reduce((widest, text) => Math.max(widest, widthOf(text)), widthOf(heading));
  // PostgreSQL's numeric, which is exact, comes as a text.
  const isNumeric = cells.every((text) => /^(-?\d+(\.\d+)?(e[+-]?\d+)?)?$/.test(text));
  return { name: heading, cells, width, isNumeric };
}

/** Row number `i`, or the names of the columns for -1. */
function line(columns: readonly TextColumn[], i: number): string {
  return columns.map(({ name, cells, width, isNumeric }) => {
    const text = cells[i] ?? name;
    const padding = " ".repeat(width - widthOf(text));
    return isNumeric ? padding + text : text + padding;
  }).join("  ");
}

/** A number with as many digits of a fraction as a person reads: a median of latencies has 17. */
function rounded(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return String(Number(Math.abs(value) < 1000 ? value.toPrecision(6) : value.toFixed(3)));
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return instant(value);
  if (value instanceof Uint8Array) return hexadecimal(value);
  if (typeof value === "number") return rounded(value);
  return printableInLine(typeof value === "object" ? JSON.stringify(value, jsonValue) : String(value));
}

/** `2026-11-24 04:44:18.054Z`. PostgreSQL has an `infinity` too, which a Date cannot hold. */
function instant(date: Date): string {
  if (Number.isNaN(date.getTime())) return "infinity";
  return date.toISOString().replace("T", " ").replace(/(\.000)?Z$/, "Z");
}

function hexadecimal(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

const characters = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const PLAIN = /^[\x20-\x7e]*$/;
/** Scripts and signs that terminals draw two columns wide. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff01-\uff60]/u;

/** The columns that a text takes in a terminal. */
function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  return [...characters.segment(text)].reduce((width, { segment }) => width + (WIDE.test(segment) ? 2 : 1), 0);
}
