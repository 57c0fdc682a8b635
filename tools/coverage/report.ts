/** How much of a file ran. */
export interface FileCoverage {
  /** Within lib/. */
  readonly path: string;
  readonly code: readonly number[];
  readonly node: ReadonlySet<number>;
  readonly deno: ReadonlySet<number>;
}

/** Files of a kind that the report names. */
const MOST = 20;
const WIDTH = 100;

/**
 * A table of all rooms. Then the files of `rooms`, or of all where that is empty, with the least
 * coverage, and their lines that did not run.
 */
export function report(files: readonly FileCoverage[], rooms: readonly string[]): string {
  const table = Map.groupBy(files, roomOf);
  const named = files.filter((file) => file.code.length > 0 && (rooms.length === 0 || rooms.includes(roomOf(file))));
  const { none = [], some = [] } = Object.groupBy(named, (file) => ranIn(file).length === 0 ? "none" : "some");
  const least = some.filter((file) => share(file) < 1).toSorted((a, b) => share(a) - share(b));
  return [
    row("lib/", "files", "lines", "ran", "Node", "Deno"),
    ...[...table].toSorted(([a], [b]) => a < b ? -1 : 1).map(([room, files]) => roomRow(room, files)),
    roomRow("all", files),
    ...section("files of which nothing ran", none.map(({ path }) => path)),
    ...section(
      "files with the least coverage, and their lines that did not run",
      least.map((file) => `${percent(share(file))} ${file.path}: ${spans(file)}`),
    ),
    "",
    "",
  ].join("\n");
}

function section(title: string, lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return [];
  const more = lines.length > MOST ? [`… and ${lines.length - MOST} more`] : [];
  return ["", `${title}:`, ...lines.slice(0, MOST).map((line) => line.slice(0, WIDTH)), ...more];
}

function roomOf({ path }: FileCoverage): string {
  return path.split("/")[0] ?? "";
}

function ranIn({ code, node, deno }: FileCoverage): readonly number[] {
  return code.filter((line) => node.has(line) || deno.has(line));
}

function share(file: FileCoverage): number {
  return file.code.length === 0 ? 1 : ranIn(file).length / file.code.length;
}

function roomRow(room: string, files: readonly FileCoverage[]): string {
  const lines = sum(files, ({ code }) => code.length);
  const of = (count: (file: FileCoverage) => number) => percent(lines === 0 ? 1 : sum(files, count) / lines);
  return row(
    room,
    `${files.length}`,
    `${lines}`,
    of((file) => ranIn(file).length),
    of(({ code, node }) => code.filter((line) => node.has(line)).length),
    of(({ code, deno }) => code.filter((line) => deno.has(line)).length),
  );
}

function row(name: string, ...cells: readonly string[]): string {
  return `${name.padEnd(12)}${cells.map((cell) => cell.padStart(8)).join("")}`;
}

function sum<T>(values: readonly T[], numberOf: (value: T) => number): number {
  return values.reduce((total, value) => total + numberOf(value), 0);
}

/** Rounded down: 100 % means every line. */
function percent(part: number): string {
  return `${(Math.floor(part * 1000) / 10).toFixed(1)} %`.padStart(7);
}

/** The lines of code that did not run, as `3 7-9`; lines without code in between do not count. */
function spans(file: FileCoverage): string {
  const ran = new Set(ranIn(file));
  const groups: { first: number; last: number }[] = [];
  let isOpen = false;
  for (const line of file.code) {
    const group = groups.at(-1);
    if (ran.has(line)) isOpen = false;
    else if (isOpen && group !== undefined) group.last = line;
    else {
      groups.push({ first: line, last: line });
      isOpen = true;
    }
  }
  return groups.map(({ first, last }) => first === last ? `${first}` : `${first}-${last}`).join(" ");
}
