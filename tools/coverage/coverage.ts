// Shows which lines of lib/ the tests run, room by room: npm run coverage, or of a part of the tests
// npm run coverage -- tests/net. It counts the programs, too, that tests start under Node and Deno.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Collector } from "./collect.ts";
import { codeLines } from "./lines.ts";
import { report } from "./report.ts";

/** Milliseconds between two looks at the files that processes have written. */
const LOOK = 1000;

const args = process.argv.slice(2);
const lib = fileURLToPath(new URL("../../lib", import.meta.url));
const paths = globSync("**/*.{ts,js}", { cwd: lib }).map((name) => join(lib, name)).toSorted();
const folder = mkdtempSync(join(tmpdir(), "coverage-"));
const [node, deno] = [join(folder, "node"), join(folder, "deno")];
for (const each of [node, deno]) mkdirSync(each);
// Ctrl-C ends the tests alone: the figures of those that ran are still shown.
process.on("SIGINT", () => {});
try {
  const collector = new Collector(paths);
  const vitest = spawn("vitest", ["run", "--config", "tools/coverage/vitest.config.ts", ...args], {
    stdio: "inherit",
    // Of functions from Node's cache the coverage would be less exact.
    env: { ...process.env, NODE_V8_COVERAGE: node, DENO_COVERAGE_DIR: deno, NODE_DISABLE_COMPILE_CACHE: "1" },
  });
  const timer = setInterval(() => collector.takeNode(node), LOOK);
  const [code] = await once(vitest, "exit").finally(() => clearInterval(timer));
  const cut = collector.takeNode(node) + collector.takeDeno(deno);
  const files = paths.map((path) => ({
    path: relative(lib, path),
    code: codeLines(readFileSync(path, "utf8")),
    ...collector.linesOf(path),
  }));
  const rooms = args.flatMap((arg) => /^tests\/(\w+)/.exec(arg)?.[1] ?? []);
  process.stdout.write(`\n${report(files, rooms)}`);
  process.stdout.write(
    "A line counts where a part of it ran. Bundles and processes that SIGKILL ended do not count.\n",
  );
  if (cut > 0) process.stdout.write(`${cut} files of coverage were not written to their end.\n`);
  if (code !== 0) process.stdout.write("Not all tests passed. Coverage makes programs slower and larger.\n");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
