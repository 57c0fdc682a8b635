import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { fileURLToPath } from "node:url";

/** Where the picture stands. */
export const PICTURE = "docs/rooms.svg";

const ROOT = new URL("../../", import.meta.url);

/** What a room is for, and what it hands to the room on its right. */
interface Room {
  readonly name: string;
  readonly about: string;
  readonly gives?: string;
}

/** The way of the data, from left to right. */
const WAY: readonly Room[] = [
  { name: "hosts", about: "The hosts file: which hosts there are, and when each is due.", gives: "host" },
  { name: "check", about: "Whose turn it is, and one HTTP check.", gives: "metric" },
  { name: "delivery", about: "Metrics that wait for Kafka, in memory or on disk.", gives: "message" },
  { name: "kafka", about: "What is needed of Kafka, with two clients.", gives: "message" },
  { name: "ingest", about: "Messages become batches, at the right offsets.", gives: "batch" },
  { name: "postgres", about: "The tables, and the one statement that stores a batch." },
];

/** What the rooms above stand on. */
const GROUND: readonly Room[] = [
  { name: "net", about: "Names, addresses, certificates, a small HTTP server." },
  { name: "config", about: "Flags and variables become settings." },
  { name: "async", about: "Waits that everybody shares." },
  { name: "metric", about: "The message that both programs share." },
];

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const [WIDTH, MARGIN, GAP] = [960, 20, 34] as const;

/** Pairs of rooms of which the first imports from the second. */
function importsBetweenRooms(): ReadonlySet<string> {
  const pairs = new Set<string>();
  for (const path of globSync("lib/**/*.{ts,js}", { cwd: fileURLToPath(ROOT) })) {
    const text = readFileSync(new URL(path, ROOT), "utf8");
    for (const [, target = ""] of text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)) {
      const [from, to] = [path, join(dirname(path), target)].map(roomOf);
      if (from !== to) pairs.add(`${from} ${to}`);
    }
  }
  return pairs;
}

function roomOf(path: string): string {
  return (path.split("/")[1] ?? "").replace(/\.ts$/, "");
}

function filesOf(room: string): string {
  const { length } = globSync(`lib/${room}/**/*.{ts,js}`, { cwd: fileURLToPath(ROOT) });
  return length === 0 ? "1 file" : `${length} files`;
}

/** Boxes of equal width, side by side. */
function row(count: number, y: number, height: number, gap: number): Box[] {
  const width = (WIDTH - 2 * MARGIN - (count - 1) * gap) / count;
  return Array.from({ length: count }, (_, i) => ({ x: MARGIN + i * (width + gap), y, width, height }));
}

/** The picture as it ought to be. */
export function picture(): string {
  const imports = importsBetweenRooms();
  const way = row(WAY.length, 178, 150, GAP);
  const ground = row(GROUND.length, 363, 92, 16);
  const top = row(3, 20, 98, GAP) as [Box, Box, Box];
  const monitoring = WAY.filter(({ name }) => imports.has(`monitoring ${name}`)).map(({ name }) => name);
  const readByPage = WAY.filter(({ name }) => imports.has(`page ${name}`)).map(({ name }) => name);
  const parts = [
    box(top[0], "program/", filesOf("program"), [
      "What producer.ts and consumer.ts start.",
      "Signals, the log's place, the exit code.",
      "It opens what is needed, and joins the rooms.",
    ]),
    box(top[1], "monitoring/", filesOf("monitoring"), [
      "Log, health, Prometheus figures. It looks at",
      `${monitoring.join(", ")}.`,
    ]),
    box(top[2], "page/", filesOf("page"), [
      "A page that shows the hosts, as HTML and",
      `as files. It reads from ${readByPage.join(", ")}.`,
    ]),
    ...WAY.map(({ name, about }, i) => box(way[i] as Box, `${name}/`, filesOf(name), wrap(about, 17))),
    ...WAY.flatMap(({ gives }, i) => gives === undefined ? [] : [gift(way[i] as Box, gives)]),
    ...WAY.flatMap(({ name }, i) =>
      WAY.flatMap((other, j) => imports.has(`${name} ${other.name}`) ? [arc(way[i] as Box, way[j] as Box)] : [])
    ),
    ...GROUND.map(({ name, about }, i) =>
      box(ground[i] as Box, name === "metric" ? "metric.ts" : `${name}/`, filesOf(name), wrap(about, 32))
    ),
    label(
      MARGIN,
      514,
      "Thick arrows: the way of the data. Thin arrows: imports from. Every room above may import from the four at the bottom.",
    ),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} 495" role="img" aria-labelledby="title">
<title id="title">The rooms of lib/, the way of the data through them, and which of them imports which</title>
<style>
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #59636e } .name { font-size: 13px; font-weight: 600; fill: #1f2328 }
  .room { fill: #f6f8fa; stroke: #8c959f } .import { fill: none; stroke: #8c959f; stroke-width: 1.5 } .import-head { fill: #8c959f }
  .data { stroke: #0969da; stroke-width: 3 } .data-head, .gift { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .name { fill: #e6edf3 } .room { fill: #151b23; stroke: #656c76 } .import { stroke: #656c76 }
    .import-head { fill: #656c76 } .data { stroke: #4493f8 } .data-head, .gift { fill: #4493f8 }
  }
</style>
<defs>
  <marker id="import" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" class="import-head"/></marker>
  <marker id="data" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="4" markerHeight="4" orient="auto"><path d="M0 0 8 4 0 8z" class="data-head"/></marker>
</defs>
${parts.join("\n")}
</svg>
`;
}

function box({ x, y, width, height }: Box, name: string, files: string, lines: readonly string[]): string {
  const about = lines.map((line, i) => label(x + 10, y + 38 + 17 * i, line)).join("");
  return `<rect class="room" rx="6" x="${x}" y="${y}" width="${width}" height="${height}"/>` +
    `<text class="name" x="${x + 10}" y="${y + 20}">${name}</text>` +
    `<text x="${x + width - 10}" y="${y + height - 10}" text-anchor="end">${files}</text>${about}`;
}

function label(x: number, y: number, text: string): string {
  return `<text x="${x}" y="${y}">${text}</text>`;
}

/** What a room hands to the one on its right. */
function gift({ x, y, width, height }: Box, name: string): string {
  const [from, middle] = [x + width + 3, y + height / 2 + 24];
  return `<line class="data" x1="${from}" y1="${middle}" x2="${
    from + GAP - 11
  }" y2="${middle}" marker-end="url(#data)"/>` +
    `<text class="gift" x="${from + GAP / 2 - 3}" y="${y + height + 18}" text-anchor="middle">${name}</text>`;
}

/** An import: from the upper edge of one box to that of another. */
function arc(from: Box, to: Box): string {
  const side = from.x < to.x ? 1 : -1;
  const [start, end] = [from.x + from.width / 2 + side * 20, to.x + to.width / 2 - side * 20];
  const top = from.y - 24 - Math.abs(end - start) / 20;
  return `<path class="import" d="M${start} ${from.y}C${start} ${top} ${end} ${top} ${end} ${
    to.y - 1
  }" marker-end="url(#import)"/>`;
}

/** Lines of at most so many characters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
