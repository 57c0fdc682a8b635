import process from "node:process";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./tests/support/longest_first.ts";

const cache = fileURLToPath(new URL(".cache", import.meta.url));

// Node keeps what it compiled, for the programs that tests start and for their own processes. The
// start of a program takes 0.2 s of a core then instead of 0.5 s.
process.env.NODE_COMPILE_CACHE ??= `${cache}/node`;

export default defineConfig({
  // How long each file took is kept here.
  cacheDir: `${cache}/vite`,
  test: {
    include: ["tests/**/*.test.ts"],
    // Whole programs, a broker and a database start on demand: nothing is slow by intention, a slow machine may be.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    // By default one fork less than there are cores; half of what these tests do is waiting for
    // other processes. On two cores three take 517 s where two take 616.
    maxWorkers: 3,
    // Of the tests of one file that mostly wait, and so run at the same time.
    maxConcurrency: 3,
    sequence: { sequencer: LongestFirst },
  },
});
