import { spawnSync } from "node:child_process";
import { skipped } from "./kafka.ts";

/**
 * Whether Prometheus' own checker is here; says in one line how to get it where it is not. Under CI
 * that is a failure.
 */
export function canRunPromtool(): boolean {
  return spawnSync("promtool", ["--version"]).status === 0 ||
    skipped("promtool tests are skipped: put promtool (Debian's package prometheus) on the PATH; .ci/run shows how");
}

/** Runs promtool, and gives its exit code with all that it said. */
export function promtool(args: readonly string[], input = ""): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { code: status, said: stdout + stderr };
}
