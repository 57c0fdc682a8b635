import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // Whole programs, a broker and a database start on demand: nothing is slow by intention, a slow machine may be.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
  },
});
