import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const library = readdirSync(new URL("lib", root)).filter((name) => name.endsWith(".ts"));

/** What each file of lib/ imports from lib/, by value or by type. */
const imports = new Map(library.map((name) => {
  const found = read(`lib/${name}`).matchAll(/(?:from|import\()\s*"\.\/([^"]+)"/g);
  return [name, [...new Set([...found].map((match) => match[1] as string))]] as const;
}));

/**
 * The floors of the house: a file imports only from floors below its own. A new file gets the lowest floor that holds it.
 */
const FLOORS = [
  [],
] as readonly (readonly string[])[];

it("lib/ is a house of floors: every file has one, and imports only from floors below", () => {
  const floorOf = new Map(FLOORS.flatMap((files, floor) => files.map((file) => [file, floor] as const)));
  expect([...floorOf.keys()].sort()).toEqual(library.sort());
  const upward = [...imports].flatMap(([file, imported]) =>
    imported.filter((other) => !((floorOf.get(other) ?? Infinity) < (floorOf.get(file) ?? -1)))
      .map((other) => `${file} imports ${other}`)
  );
  expect(upward).toEqual([]);
});

it("only settings.ts reads the environment", () => {
  const readers = [...library.map((name) => `lib/${name}`), "producer.ts", "consumer.ts"].filter((path) =>
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
