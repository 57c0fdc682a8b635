import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { Pace } from "../../lib/check/pace.ts";
import { RUNTIMES } from "../support/programs.ts";

const KIB = 1024;

it("Pace lets the connection rest while much waits to be decoded, and go on when little does", () => {
  const told: string[] = [];
  const pace = new Pace({ pause: () => void told.push("pause"), resume: () => void told.push("resume") });
  pace.add(256 * KIB);
  expect(told).toEqual([]);
  pace.add(1);
  pace.add(64 * KIB);
  expect(told).toEqual(["pause"]);
  pace.take(200 * KIB);
  expect(told).toEqual(["pause"]);
  pace.take(60 * KIB);
  expect(told).toEqual(["pause", "resume"]);
  pace.take(60 * KIB);
  pace.add(300 * KIB);
  expect(told).toEqual(["pause", "resume", "pause"]);
});

it("Pace gives the others a turn where work has gone on for a while, and only then", async () => {
  const pace = new Pace({ pause() {}, resume() {} });
  const order: string[] = [];
  pace.begin();
  pace.next(() => order.push("at once"));
  expect(order).toEqual(["at once"]);
  const until = performance.now() + 3;
  while (performance.now() < until);
  const { promise, resolve } = Promise.withResolvers<void>();
  pace.next(() => {
    order.push("later");
    resolve();
  });
  order.push("others");
  await promise;
  expect(order).toEqual(["at once", "others", "later"]);
});

it.each(RUNTIMES)("decoding lets others have their turn between the frames of one body under %s", async (runtime) => {
  const script = fileURLToPath(new URL("../support/decoding_runner.ts", import.meta.url));
  const [command, args] = runtime === "node"
    ? [process.execPath, ["--experimental-strip-types"]]
    : ["deno", ["run", "-A", "-q"]];
  const { stdout } = await promisify(execFile)(command, [...args, script]);
  const { turns, length, outcome } = JSON.parse(stdout) as { turns: number; length: number; outcome: string };
  expect({ length, outcome }).toEqual({ length: 1000, outcome: "end" });
  expect(turns).toBeGreaterThan(2);
});
