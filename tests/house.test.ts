import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { expect, it } from "vitest";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
/** What producer.ts and consumer.ts start: they stand above the rooms. */
const programs = ["lib/producer.ts", "lib/consumer.ts"];
const library = globSync("lib/**/*.{ts,js}", { cwd: root }).filter((path) => !programs.includes(path)).toSorted();

/** What each file of lib/ imports from lib/, by value or by type. */
const imports = new Map(library.map((path) => {
  const found = read(path).matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g);
  return [path, [...found].map((match) => join(dirname(path), match[1] as string))] as const;
}));

/** The room that a file belongs to: lib/check.ts is the door to what stands in lib/check/. */
const roomOf = (path: string) => path.replace(/\.ts$/, "").split("/").slice(0, 2).join("/");

/** Rooms that may use the inner rooms of another: each of these is a decision. */
const GUESTS: Readonly<Record<string, readonly string[]>> = {
  // What is the same for both clients.
  "lib/kafka": ["lib/kafka_javascript", "lib/kafka_librdkafka"],
  // A redirect's name is judged as one of a hosts file.
  "lib/hosts": ["lib/check"],
  // Chooses between the two databases, each of which knows nothing of the other.
  // Queries are for the embedded database alone.
  "lib/database": ["lib/database_plan", "lib/query"],
};

/** What a room must not know of, whatever stands in between. */
const STRANGERS: readonly (readonly [room: string, others: RegExp])[] = [
  ["lib/batches", /^lib\//],
  ["lib/metric", /^lib\/(?!instant\.ts$)/],
  ["lib/instant", /^lib\//],
  ["lib/check", /^lib\/(kafka|database|store|delivery|sink)/],
  ["lib/store", /^lib\/kafka/],
  ["lib/timetable", /^lib\/(check|missed|metric|kafka|database|store|sink)/],
  ["lib/kafka_client", /^lib\/(database|store|check)/],
];

it("lib/ has no circle of imports", () => {
  const seen = new Map<string, "open" | "done">();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]) => {
    if (seen.get(path) === "done") return;
    if (seen.get(path) === "open") return void circles.push([...way, path].join(" → "));
    seen.set(path, "open");
    for (const next of imports.get(path) ?? []) visit(next, [...way, path]);
    seen.set(path, "done");
  };
  for (const path of library) visit(path, []);
  expect(circles).toEqual([]);
});

it("lib/ keeps its inner rooms to themselves: lib/x/… is imported by lib/x.ts and its neighbours in lib/x/ only", () => {
  const trespasses = [...imports].flatMap(([path, imported]) =>
    imported.filter((other) => other.split("/").length > 2 && roomOf(other) !== roomOf(path))
      .filter((other) => !GUESTS[roomOf(other)]?.includes(roomOf(path)))
      .map((other) => `${path} imports ${other}`)
  );
  expect(trespasses).toEqual([]);
});

it.each(STRANGERS)("%s.ts knows nothing of what matches %s", (room, others) => {
  const known = new Set<string>();
  const learn = (path: string) => {
    if (known.has(path)) return;
    known.add(path);
    for (const next of imports.get(path) ?? []) learn(next);
  };
  learn(`${room}.ts`);
  known.delete(`${room}.ts`);
  expect([...known].filter((path) => others.test(path))).toEqual([]);
});

it("lib/ is silent: program.ts alone prints, logs or ends the process, and start.js before it", () => {
  const loud = library.filter((path) => /console\.|process\.(?:exit|std(?:out|err))/.test(read(path)));
  expect(loud).toEqual(["lib/program.ts", "lib/start.js"]);
});

it("only settings.ts reads the environment", () => {
  const readers = [...library, ...programs].filter((path) =>
    /process\s*\.\s*env|Deno\s*\.\s*env|import\s*\{[^}]*\benv\b[^}]*\}\s*from\s*"node:process"/.test(read(path))
  );
  expect(readers).toEqual(["lib/settings.ts"]);
});

it("deno.json names the versions that package.json names", () => {
  const { imports: denoImports } = JSON.parse(read("deno.json")) as { imports: Record<string, string> };
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
  const expected = Object.entries(dependencies).map(([name, version]) => [name, `npm:${name}@${version}`]);
  expect(denoImports).toEqual(Object.fromEntries(expected));
});

it("deno.json's tasks carry the names of package.json's scripts", () => {
  const { tasks } = JSON.parse(read("deno.json")) as { tasks: Record<string, string> };
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  expect(Object.keys(tasks).filter((name) => !(name in scripts))).toEqual([]);
});
