import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";

const SAYER = fileURLToPath(new URL("../support/sayer.ts", import.meta.url));

/** So many looks find no new line: the pipe is full, or every line was said. */
const LOOKS = 10;

it("what a process has said is heard, though nobody listened before it was killed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "say-"));
  try {
    const file = join(folder, "said");
    const said = () => {
      try {
        return Number(readFileSync(file, "utf8"));
      } catch {
        return -1;
      }
    };
    const child = spawn(process.execPath, ["--experimental-strip-types", SAYER, file], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const heard: Buffer[] = [];
    child.stdout.on("data", (bytes: Buffer) => heard.push(bytes)).pause();
    let last = -1;
    let unchanged = 0;
    const isStuck = () => {
      unchanged = said() === last ? unchanged + 1 : 0;
      last = said();
      return last >= 0 && unchanged === LOOKS;
    };
    await eventually(isStuck, () => `It goes on saying more: ${last}`);
    child.kill("SIGKILL");
    // The reader first reads the rest of the pipe.
    await once(child, "close");
    const lines = Buffer.concat(heard).toString().trimEnd().split("\n");
    expect(Number(lines.at(-1))).toBeGreaterThanOrEqual(said());
  } finally {
    rmSync(folder, { recursive: true });
  }
});
