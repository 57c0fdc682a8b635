import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // Whole programs, a broker and a database start on demand: nothing is slow by intention, a slow machine may be.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    // By default one fork less than there are cores; half of what these tests do is waiting for
    // other processes. On two cores three take 517 s where two take 616.
    maxWorkers: 3,
  },
});
