import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { Pace, SharedFlow, Turns } from "../../lib/check/pace.ts";
import { MIB, PAGES } from "../support/check_pages.ts";
import type { Decodings } from "../support/decoding_runner.ts";
import { type Runtime, RUNTIMES } from "../support/programs.ts";
import type { Reading } from "../support/reading_runner.ts";
import { openSite } from "../support/site.ts";

const KIB = 1024;

/** A flow that records its calls. */
function recorder() {
  const told: string[] = [];
  return { told, flow: { pause: () => void told.push("pause"), resume: () => void told.push("resume") } };
}

/** The output of a script of tests/support under a runtime. */
async function run(runtime: Runtime, script: string, ...args: string[]): Promise<unknown> {
  const file = fileURLToPath(new URL(`../support/${script}`, import.meta.url));
  const [command, flags] = runtime === "node"
    ? [process.execPath, ["--experimental-strip-types"]]
    : ["deno", ["run", "-A", "-q"]];
  return JSON.parse((await promisify(execFile)(command, [...flags, file, ...args])).stdout);
}

it("Pace lets the connection rest while much waits to be decoded, and go on when little does", () => {
  const { told, flow } = recorder();
  const pace = new Pace(flow, new Turns());
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

it("SharedFlow rests as long as anybody wants it to", () => {
  const { told, flow } = recorder();
  const shared = new SharedFlow(flow);
  shared.pause();
  shared.pause();
  shared.resume();
  expect(told).toEqual(["pause"]);
  shared.resume();
  shared.pause();
  expect(told).toEqual(["pause", "resume", "pause"]);
});

it("Turns does work at once while the turn lasts", () => {
  const turns = new Turns(Infinity);
  const order: string[] = [];
  turns.next(() => {
    order.push("first");
    turns.next(() => order.push("inside"));
  });
  order.push("behind");
  expect(order).toEqual(["first", "inside", "behind"]);
});

it("Turns has work wait until others were served where the turn is over, in its order, whoever's it is", async () => {
  const turns = new Turns(0);
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  turns.next(() => {
    order.push("one");
    turns.next(() => order.push("one again"));
  });
  setImmediate(() => order.push("others"));
  turns.next(() => order.push("two"));
  turns.next(() => turns.next(resolve));
  order.push("nothing yet");
  await promise;
  expect(order).toEqual(["nothing yet", "one", "others", "two", "one again"]);
});

it.each(RUNTIMES)("what a body decodes to does not depend on its turns under %s", async (runtime) => {
  const decodings = await run(runtime, "decoding_runner.ts") as Decodings;
  const outcomes = (how: "atOnce" | "inTurns") =>
    Object.entries(decodings).map(([name, { [how]: { outcome } }]) => `${name}: ${outcome}`);
  expect(outcomes("inTurns")).toEqual(outcomes("atOnce"));
  expect(outcomes("atOnce")).toEqual(expect.arrayContaining([
    "gzip: end, 256609",
    "br: end, 256609",
    "gzip, padded, broken off: stop, 256609",
    "gzip, padded with many pieces: end, 1",
    "gzip, enough before more: enough",
    "gzip in gzip, enough before more: enough",
    "br in zstd in gzip: end, 256609",
    "much of little: end, 4194304",
    "too much between two codings: the body has more than 8 MiB between two of its codings",
    "frames: end, 100",
    "too many frames: the body has more than 1000 frames of zstd",
  ]));
  for (const name of ["frames", "too many frames", "too much between two codings", "much of little"]) {
    expect(decodings[name]?.inTurns.turns, name).toBeGreaterThan(2);
  }
});

it.each(RUNTIMES)("sockets are looked at behind each turn of decoding under %s", async (runtime) => {
  // One turn may be under way, and one may begin before the byte comes; Deno once took 61.
  expect(await run(runtime, "decoding_turns_runner.ts")).toBeLessThan(8);
});

it.each(RUNTIMES)("a connection that brings much rests between two turns under %s", async (runtime) => {
  const page = PAGES["/one-byte-chunks"];
  if (page === undefined) throw new Error("There is no such page");
  await using site = await openSite(page);
  const { bytes, most } = await run(runtime, "reading_runner.ts", String(site.port)) as Reading;
  expect(bytes).toBe(MIB);
  // In chunks of one byte, a sixth of the bytes is body. So 256 KiB of body are 1.5 MiB as they
  // came.
  expect(most).toBeLessThan(128 * KIB);
});
