import { spawnSync } from "node:child_process";
import { skipped } from "./kafka.ts";

/**
 * Whether this machine has Prometheus' own checker. Where it has not, one line says how to get it.
 * Under CI that is a failure.
 */
export function canRunPromtool(): boolean {
  return spawnSync("promtool", ["--version"]).status === 0 ||
    skipped("promtool tests are skipped: put promtool (Debian's package prometheus) on the PATH; .ci/run shows how");
}

/** Runs promtool. Gives its exit code and its whole output. */
export function promtool(args: readonly string[], input = ""): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { code: status, said: stdout + stderr };
}
