import { type Option, OPTIONS } from "../../lib/config/options.ts";

const HEADINGS = ["flag", "variable", "default", "used by", "what it is"] as const;

/** The table of all options in docs/settings.md. Its columns are aligned as by the formatter. */
export function settingsTable(): string {
  const rows = [HEADINGS, ...Object.values(OPTIONS).map(rowOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = "", ...body] = rows.map(line);
  return [head, line(widths.map((width) => "-".repeat(width))), ...body].join("\n");
}

function rowOf(option: Option): string[] {
  const { flag, variable, placeholder = "", programs, help } = option;
  const usedBy = programs.length > 1 ? "both" : programs.join();
  const cells = [flag === undefined ? "" : code(`--${flag} ${placeholder}`.trim()), code(variable), defaultOf(option)];
  return [...cells, usedBy, help].map((cell) => cell.replaceAll("|", "\\|"));
}

function defaultOf({ variable, default: text, otherwise }: Option): string {
  if (text !== undefined) return code(text);
  return otherwise ?? (variable === undefined ? "" : "none");
}

const code = (text: string | undefined) => text === undefined ? "" : `\`${text}\``;
