import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Collector } from "../tools/coverage/collect.ts";
import { codeLines } from "../tools/coverage/lines.ts";
import { report } from "../tools/coverage/report.ts";
import { COMMANDS } from "./support/runtimes.ts";

const folder = mkdtempSync(join(tmpdir(), "test-coverage-"));
afterAll(() => rmSync(folder, { recursive: true }));

const SOURCE = `interface Unused {
  readonly name: string;
}

/** A comment. */
export function called(value: string): string {
  if (value === "") {
    return "empty";
  }
  // A comment.
  return [value].map((each: string) => each).join();
}

export function idle(): number {
  const two: number = 2;
  return two;
}

called("text" as string);
`;
const program = join(folder, "program.ts");
writeFileSync(program, SOURCE);

it("codeLines leaves out comments, types and brackets alone", () => {
  expect(codeLines(SOURCE)).toEqual([6, 7, 8, 11, 14, 15, 16, 19]);
});

describe.each(COMMANDS.filter(({ missing }) => missing === null))("under $runtime", ({ runtime, command }) => {
  it("Collector finds the lines that ran in a program of its own", () => {
    const [node, deno] = ["node", "deno"].map((name) => join(folder, runtime, name)) as [string, string];
    for (const each of [node, deno]) mkdirSync(each, { recursive: true });
    const [file, ...args] = command as readonly [string, ...string[]];
    const env = { ...process.env, NODE_V8_COVERAGE: node, DENO_COVERAGE_DIR: deno };
    expect(spawnSync(file, [...args, program], { env }).status).toBe(0);
    const collector = new Collector([program]);
    // A process of Deno that was killed before it wrote the first byte.
    writeFileSync(join(deno, "killed.json"), "");
    expect([collector.takeNode(node), collector.takeDeno(deno)]).toEqual([0, 1]);
    const ran = collector.linesOf(program)[runtime.toLowerCase() as "node" | "deno"];
    expect(codeLines(SOURCE).filter((line) => ran.has(line))).toEqual([6, 7, 11, 19]);
  });
});

it("Collector leaves a file that nobody has written to its end", () => {
  const unfinished = mkdtempSync(join(folder, "unfinished-"));
  writeFileSync(join(unfinished, "coverage-1.json"), '{"result":[{"scr');
  expect(new Collector([]).takeNode(unfinished)).toBe(1);
});

it("report counts lines by room, and names those that did not run", () => {
  const files = [
    { path: "net/some.ts", code: [1, 3, 4, 8, 9], node: new Set([1, 2]), deno: new Set([1, 8]) },
    { path: "net/none.ts", code: [1], node: new Set<number>(), deno: new Set<number>() },
    { path: "net/types.ts", code: [], node: new Set<number>(), deno: new Set<number>() },
    { path: "metric.ts", code: [1], node: new Set([1]), deno: new Set<number>() },
  ];
  expect(report(files, ["net"])).toBe(`lib/           files   lines     ran    Node    Deno
metric.ts          1       1 100.0 % 100.0 %   0.0 %
net                3       6  33.3 %  16.6 %  33.3 %
all                4       7  42.8 %  28.5 %  28.5 %

files of which nothing ran:
net/none.ts

files with the least coverage, and their lines that did not run:
 40.0 % net/some.ts: 3-4 9

`);
});
