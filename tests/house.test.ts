import { globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { expect, it } from "vitest";
import { LONGEST } from "./support/longest_first.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
/** What producer.ts and consumer.ts start. */
const programs = ["lib/program/producer.ts", "lib/program/consumer.ts"];
const library = globSync("lib/**/*.{ts,js}", { cwd: root }).toSorted();

/** What a file imports from lib/, by value or by type. */
function importsOf(path: string): readonly string[] {
  const found = [...read(path).matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)];
  return found.map((match) => join(dirname(path), match[1] as string)).filter((other) => other.startsWith("lib/"));
}

const imports = new Map(library.map((path) => [path, importsOf(path)] as const));

interface Room {
  /** The rooms that it may import: all of them lie below it. */
  readonly uses: string;
  /** Its files that may be imported from outside. */
  readonly doors: string;
}

/** The rooms of lib/, from the top down. `metric.ts`, the message, lies below them all. */
const ROOMS: Readonly<Record<string, Room>> = {
  program: {
    uses: "monitoring page delivery ingest check kafka postgres hosts net config async",
    doors: "consumer producer start",
  },
  monitoring: {
    uses: "delivery ingest check kafka postgres net config async metric",
    doors: "consumer_report consumer_monitor log notify/notifier producer_monitor",
  },
  page: { uses: "postgres net config async", doors: "page" },
  delivery: { uses: "kafka net config async metric", doors: "backlog delivery last_results setup" },
  ingest: { uses: "kafka postgres net config async metric", doors: "source transfer" },
  check: {
    uses: "hosts net config async metric",
    doors: "check_runner matching open_files standings_file threads",
  },
  kafka: { uses: "net config async", doors: "access kafka" },
  postgres: {
    uses: "net config async metric",
    doors: "database database_plan host_reader host_state past_incidents query schema schema_text store",
  },
  hosts: {
    uses: "net config async",
    doors: "address due_times host_name host_options hosts hosts_file hosts_from pattern schedule",
  },
  net: {
    uses: "config async",
    doors:
      "ask_health exhausted_resource http_port certificate_store certificates der ip_address resolver system_authorities tls",
  },
  config: {
    uses: "",
    doors:
      "count environment folder_lock glob host_and_port instant kafka_settings keep nearest_word notify_targets saslprep secret_file setting_types settings terminal usage_error version",
  },
  async: {
    uses: "",
    doors: "batches bell file_changes health pieces queue retry waits",
  },
};

/** What some files must not know of, whatever stands in between. */
const STRANGERS: readonly (readonly [file: string, others: RegExp])[] = [
  ["lib/async/batches.ts", /^lib\//],
  ["lib/metric.ts", /^lib\/(?!config\/instant\.ts$)/],
  ["lib/config/instant.ts", /^lib\//],
  ["lib/check/scheduler.ts", /^lib\/(?:metric|check\/(?!scheduler\/))/],
];

const roomOf = (path: string) => (path.split("/")[1] ?? "").replace(/\.ts$/, "");
const words = (text: string) => text.split(" ").filter((word) => word !== "");
/** Imports that lead from one room, or an entry script, into another. */
const passages = [...imports, ...["producer.ts", "consumer.ts"].map((path) => [path, importsOf(path)] as const)]
  .flatMap(([from, imported]) => imported.map((to) => ({ from, to })))
  .filter(({ from, to }) => !from.startsWith("lib/") || roomOf(from) !== roomOf(to));

it("lib/ has these rooms and metric.ts, and nothing else", () => {
  const found = readdirSync(new URL("lib", root)).toSorted();
  expect(found).toEqual([...Object.keys(ROOMS), "metric.ts"].toSorted());
});

it.each(Object.entries(ROOMS))(
  "lib/%s imports just the rooms that its row names, all of them below it",
  (room, { uses }) => {
    const found = passages.filter(({ from }) => from.startsWith("lib/") && roomOf(from) === room).map(({ to }) =>
      roomOf(to)
    );
    expect([...new Set(found)].toSorted()).toEqual(words(uses).toSorted());
    const order = [...Object.keys(ROOMS), "metric"];
    for (const other of words(uses)) expect(order.indexOf(other)).toBeGreaterThan(order.indexOf(room));
  },
);

it.each(Object.entries(ROOMS))("lib/%s is entered by its doors only, and each of them is used", (room, { doors }) => {
  const found = passages.filter(({ to }) => roomOf(to) === room).map(({ to }) =>
    to.replace(/^[^/]+\/[^/]+\/|\.[tj]s$/g, "")
  );
  expect([...new Set(found)].toSorted()).toEqual(words(doors).toSorted());
});

it("lib/metric.ts knows how a time is written, and nothing else", () => {
  expect(imports.get("lib/metric.ts")).toEqual(["lib/config/instant.ts"]);
});

it.each(STRANGERS)("%s knows nothing of what matches %s", (file, others) => {
  const known = new Set<string>();
  const learn = (path: string) => {
    if (known.has(path)) return;
    known.add(path);
    for (const next of imports.get(path) ?? []) learn(next);
  };
  learn(file);
  known.delete(file);
  expect([...known].filter((path) => others.test(path))).toEqual([]);
});

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

it("an exported name of lib/ stands for one thing, in one file", () => {
  const declaration =
    /^export (?:declare )?(?:async )?(?:abstract )?(?:const|let|function\*?|class|interface|type) (\w+)/gm;
  const names = library.flatMap((path) =>
    [...read(path).matchAll(declaration)].map((match) => ({ path, name: match[1] as string }))
  );
  const files = Map.groupBy(new Set(names.map(({ path, name }) => `${name} ${path}`)), (both) => both.split(" ")[0]);
  expect([...files.values()].filter(({ length }) => length > 1)).toEqual([]);
  expect(files.size).toBeGreaterThan(0);
});

it("lib/ is silent: program/program.ts alone prints, logs or ends the process, and start.js before it", () => {
  const loud = library.filter((path) =>
    !programs.includes(path) && /console\.|process\.(?:exit|std(?:out|err))/.test(read(path))
  );
  expect(loud).toEqual(["lib/program/program.ts", "lib/program/start.js"]);
});

it("only config/environment.ts reads the environment, and start.js one variable of Node's before it", () => {
  const readers = [...library, "producer.ts", "consumer.ts"].filter((path) =>
    /process\s*\.\s*env|Deno\s*\.\s*env|import\s*\{[^}]*\benv\b[^}]*\}\s*from\s*"node:process"/.test(read(path))
  );
  expect(readers).toEqual(["lib/config/environment.ts", "lib/program/start.js"]);
  const variables = [...read("lib/program/start.js").matchAll(/process\s*\.\s*env\b(\.\w+)?/g)].map(([, name]) => name);
  expect(new Set(variables)).toEqual(new Set([".NODE_COMPILE_CACHE"]));
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

it("the files of tests that begin first are there", () => {
  const tests = new Set(globSync("**/*.test.ts", { cwd: new URL("./", import.meta.url) }));
  expect(LONGEST.filter((name) => !tests.has(name))).toEqual([]);
});
