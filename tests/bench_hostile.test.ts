import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

it.runIf(process.platform === "linux")("bench:hostile says that the producer ended too soon, and fails", () => {
  const command = ["--experimental-strip-types", "bench/hostile.ts", "--runtime", "node", "--only", "gzip-bomb"];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, CHECK_TIMEOUT: "soon" },
  });
  expect(stderr).toMatch(/^bench:hostile: node .*producer\.ts .* ended with code 2 before it was measured$/m);
  expect(status).toBe(1);
  // The line with the names of the columns, and nothing else.
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
});
